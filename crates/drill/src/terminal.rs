//! What a drill looks like in a terminal: a line for each thing that happens, the figures at the end. On a terminal a last
//! line shows how things stand at this moment; piped, there are lines only.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::progress::{News, Progress, Pulse};
use crate::report::{Finding, Report, Run, TimelineEntry};
use crate::report_html::{loss, there, way};
use crate::report_svg::seconds;

/// From one change of the last line to the next.
const REFRESH: Duration = Duration::from_millis(80);
/// Above so many runs only the medians are told at the end.
const TOLD_RUNS: usize = 4;
/// Of text that is not made for a certain terminal.
const NO_LIMIT: usize = usize::MAX;

/// Tells a drill on a terminal or into a pipe.
#[derive(Debug)]
pub struct Terminal<W> {
    out: W,
    colours: bool,
    /// Columns of the terminal; `None`: no terminal, no last line.
    columns: Option<usize>,
    region_width: usize,
    refreshed: Option<Instant>,
    last_line: bool,
}

impl Terminal<io::Stdout> {
    /// Standard output: live and in colours if it is a terminal.
    pub fn stdout(colours: bool) -> Self {
        let out = io::stdout();
        let columns = out
            .is_terminal()
            .then(|| rustix::termios::tcgetwinsize(&out).map_or(100, |size| usize::from(size.ws_col)).clamp(40, 400));
        Self::new(out, colours && columns.is_some(), columns)
    }
}

impl<W: Write + Send> Terminal<W> {
    /// `columns`: of a terminal that understands carriage returns; `None` for plain lines.
    pub fn new(out: W, colours: bool, columns: Option<usize>) -> Self {
        Self { out, colours, columns, region_width: 9, refreshed: None, last_line: false }
    }

    fn line(&mut self, text: &str) {
        // A closed pipe must not end the drill before it has cleaned up.
        let _ = if self.last_line { write!(self.out, "\r\x1b[2K{text}\n") } else { writeln!(self.out, "{text}") };
        self.last_line = false;
    }

    fn painted(&self, colour: Colour, text: &str) -> String {
        if self.colours { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.into() }
    }

    fn happened(&mut self, entry: &TimelineEntry) {
        if matches!(entry.kind.as_str(), "step" | "lease" | "suspicion") {
            return;
        }
        let begins = entry.kind == "drill" && entry.at_ms == 0;
        if begins {
            self.line("");
        }
        self.region_width = self.region_width.max(entry.region.chars().count());
        let time = signed_seconds(entry.at_ms);
        let head = format!("{time:>9} s  {:width$}  ", entry.region, width = self.region_width);
        let colour = match entry.kind.as_str() {
            "drill" => Some(Colour::Red),
            "client" => Some(Colour::Green),
            "claim" | "open" | "promote" => Some(Colour::Bold),
            _ => None,
        };
        let indent = head.chars().count();
        let width = self.columns.map_or(NO_LIMIT, |columns| columns.saturating_sub(indent).max(20));
        let why = if entry.why.is_empty() || entry.kind == "drill" { "" } else { &entry.why };
        let what_length = entry.what.chars().count();
        let text = if why.is_empty() { entry.what.clone() } else { format!("{}: {why}", entry.what) };
        let mut told = 0;
        for (number, part) in wrapped(&text, width).into_iter().enumerate() {
            let margin = if number == 0 { head.clone() } else { " ".repeat(indent) };
            // Only what happened is coloured, the reason is dimmed; a wrapped line may hold the end of the one and the
            // beginning of the other.
            let split = what_length.saturating_sub(told).min(part.chars().count());
            let at = part.char_indices().nth(split).map_or(part.len(), |(at, _)| at);
            let (what, why) = part.split_at(at);
            let what = match colour {
                Some(colour) if !what.is_empty() => self.painted(colour, what),
                _ => what.into(),
            };
            let why = if why.is_empty() { String::new() } else { self.painted(Colour::Dim, why) };
            told += part.chars().count() + 1;
            self.line(&format!("{margin}{what}{why}"));
        }
    }

    fn pulse(&mut self, pulse: Pulse<'_>) {
        let Some(columns) = self.columns else { return };
        if self.refreshed.is_some_and(|at| at.elapsed() < REFRESH) {
            return;
        }
        self.refreshed = Some(Instant::now());
        let text = format!(
            "{:>9.1} s  {} orders accepted, {} in the last second  {}",
            pulse.since.as_secs_f64(),
            pulse.acknowledged,
            pulse.per_second,
            pulse.doing,
        );
        let text: String = text.chars().take(columns.saturating_sub(1)).collect();
        let text = self.painted(Colour::Dim, &text);
        let _ = write!(self.out, "\r\x1b[2K{text}");
        let _ = self.out.flush();
        self.last_line = true;
    }

    fn finished(&mut self, report: &Report) {
        if report.runs.len() <= TOLD_RUNS {
            for run in &report.runs {
                self.figures(run, report.runs.len() > 1);
            }
        }
        self.medians(report);
        self.prediction(report);
        self.line("");
        let promises = |wanted: Finding| -> Vec<&str> {
            report.promises.iter().filter(|(_, found)| **found == wanted).map(|(name, _)| name.as_str()).collect()
        };
        for (finding, word) in
            [(Finding::Held, "held"), (Finding::Broken, "broken"), (Finding::NotChecked, "not checked")]
        {
            let names = promises(finding);
            if !names.is_empty() {
                let word = self.painted(colour_of(finding), &format!("{word:<11}"));
                self.line(&format!("  {word}  {}", names.join(" ")));
            }
        }
        self.line("");
        for problem in &report.problems {
            let problem = self.painted(Colour::Red, problem);
            self.line(&format!("  {problem}"));
        }
        let verdict =
            if report.passed { self.painted(Colour::Green, "passed") } else { self.painted(Colour::Red, "failed") };
        self.line(&format!("  {verdict}"));
    }

    /// The two lines that matter.
    fn figures(&mut self, run: &Run, named: bool) {
        self.line("");
        if named {
            self.line(&format!("  {}  {}", self.painted(Colour::Bold, &run.intent), way(run)));
        }
        let split: Vec<String> =
            run.split_ms.parts().iter().map(|(name, ms)| format!("{name} {}", two_digits(*ms))).collect();
        let rto = self.figure("RTO", &seconds(run.rto_ms), run.objective.rto_ms, run.rto_held());
        self.line(&format!("{rto}   {}", split.join("  ")));
        let rpo = self.figure("RPO", &loss(run), run.objective.rpo_ms, run.rpo_held());
        self.line(&format!("{rpo}   {}", there(run)));
    }

    fn figure(&self, name: &str, value: &str, objective_ms: Option<u64>, held: Option<bool>) -> String {
        let objective = match objective_ms {
            None => "none".into(),
            Some(0) => "0".into(),
            Some(ms) => lifeboat_model::quantity::format_duration(Duration::from_millis(ms)),
        };
        let (finding, word) = match held {
            None => (Finding::NotChecked, "-"),
            Some(true) => (Finding::Held, "held"),
            Some(false) => (Finding::Broken, "missed"),
        };
        let word = self.painted(colour_of(finding), &format!("{word:<6}"));
        format!("  {name}  {value:<9}  objective {objective:<6}  {word}")
    }

    /// Whether it came as it was predicted.
    fn prediction(&mut self, report: &Report) {
        let Some((prediction, inside, of)) = report.predicted() else { return };
        let word = match (inside, of) {
            (1, 1) => "inside".to_owned(),
            (0, 1) => self.painted(Colour::Red, "OUTSIDE"),
            _ => format!("{inside} of {of} inside"),
        };
        let [least, half, most] = [prediction.least_ms, prediction.half_ms, prediction.most_ms].map(seconds);
        self.line("");
        self.line(&format!(
            "  the failover is {word} what was predicted before: {least} to {most}, half within {half}"
        ));
        self.line(
            "  (by published figures, nothing being measured yet; `lifeboat assess --measured` plans with this drill)",
        );
    }

    fn medians(&mut self, report: &Report) {
        if report.medians.is_empty() {
            return;
        }
        self.line("");
        self.line("  median         runs  RTO        shortest   longest    detect  decide  execute  route  recover");
        for (intent, median) in &report.medians {
            let split = median.split_ms;
            self.line(&format!(
                "  {intent:<13}  {:<4}  {:<9}  {:<9}  {:<9}  {:<6}  {:<6}  {:<7}  {:<5}  {}",
                median.runs,
                seconds(median.rto_ms),
                seconds(median.rto_min_ms),
                seconds(median.rto_max_ms),
                two_digits(split.detect),
                two_digits(split.decide),
                two_digits(split.execute),
                two_digits(split.route),
                two_digits(split.recover),
            ));
        }
    }
}

impl<W: Write + Send> Progress for Terminal<W> {
    fn tell(&mut self, news: News<'_>) {
        match news {
            News::Began { app, fault, region, repetition: (number, of) } => {
                let repetition = if of > 1 { format!("  {number} of {of}") } else { String::new() };
                if number > 1 {
                    self.line("");
                }
                let heading = format!("lifeboat drill  {app}  {fault}  {region}{repetition}");
                let heading = self.painted(Colour::Bold, &heading);
                self.line(&heading);
                self.line("");
            }
            News::Preparing(what) => {
                let what = self.painted(Colour::Dim, &format!("  {what}"));
                self.line(&what);
            }
            News::Happened(entry) => self.happened(entry),
            News::Pulse(pulse) => self.pulse(pulse),
            News::Cleaning => {
                if std::mem::take(&mut self.last_line) {
                    let _ = write!(self.out, "\r\x1b[2K");
                }
            }
            News::Finished(report) => self.finished(report),
            News::Kept(path) => self.line(&format!("  kept: {}", path.display())),
        }
        let _ = self.out.flush();
    }
}

/// ECMA-48 "select graphic rendition".
#[derive(Clone, Copy)]
enum Colour {
    Bold = 1,
    Dim = 2,
    Red = 31,
    Green = 32,
}

fn colour_of(finding: Finding) -> Colour {
    match finding {
        Finding::Held => Colour::Green,
        Finding::Broken => Colour::Red,
        Finding::NotChecked => Colour::Dim,
    }
}

fn signed_seconds(ms: i64) -> String {
    format!("{}{}.{:03}", if ms < 0 { "-" } else { "" }, ms.unsigned_abs() / 1000, ms.unsigned_abs() % 1000)
}

fn two_digits(ms: u64) -> String {
    let hundredths = (ms + 5) / 10;
    format!("{}.{:02}", hundredths / 100, hundredths % 100)
}

/// Broken at spaces into lines of at most `width` characters; a longer word gets a line of its own.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let used = lines.last().map_or(0, |line| line.chars().count());
        match lines.last_mut() {
            Some(line) if used == 0 || used + 1 + word.chars().count() <= width => {
                if used > 0 {
                    line.push(' ');
                }
                line.push_str(word);
            }
            _ => lines.push(word.into()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, fixture};

    fn told(columns: Option<usize>, colours: bool) -> String {
        let mut terminal = Terminal::new(Vec::new(), colours, columns);
        let report = fixture::report();
        terminal.tell(News::Began { app: "shop", fault: Fault::RegionLoss, region: "stockholm", repetition: (1, 1) });
        terminal.tell(News::Preparing("a node per region"));
        for entry in &report.runs[0].timeline[..5] {
            terminal.tell(News::Happened(entry));
        }
        terminal.tell(News::Finished(&report));
        String::from_utf8(terminal.out).unwrap()
    }

    #[test]
    fn piped_it_is_plain_lines() {
        let expected = "\
lifeboat drill  shop  region-loss  stockholm

  a node per region

    0.000 s  stockholm  killed: node, PostgreSQL, web
    0.212 s  frankfurt  stockholm is down: node refused, PostgreSQL refused (2 of 2 vantage points: frankfurt, ireland)
    0.214 s  ireland    stockholm is down: node refused, PostgreSQL refused (2 of 2 vantage points: frankfurt, ireland)
    0.233 s  frankfurt  epoch 7 claimed for orders: frankfurt was synchronous under epoch 6, so nothing to wait for

  failover  stockholm → frankfurt
  RTO  0.47 s     objective 15s     held     detect 0.22  decide 0.02  execute 0.17  route 0.01  recover 0.07
  RPO  0 rows     objective 0       held     1441 of 1441 acknowledged orders are there

  switchover  frankfurt → stockholm
  RTO  0.14 s     objective 15s     held     detect 0.00  decide 0.02  execute 0.09  route 0.00  recover 0.04
  RPO  0 rows     objective 0       held     358 of 358 acknowledged orders are there

  held         A1 L1 S1 S2 S5
  not checked  L2 S3 S4 S6

  passed
";
        assert_eq!(told(None, false), expected);
    }

    #[test]
    fn on_a_terminal_long_lines_are_wrapped_under_their_beginning_and_colours_do_not_count() {
        let text = told(Some(60), true);
        assert!(text.contains("\x1b[31mkilled: node, PostgreSQL, web\x1b[0m"), "{text}");
        assert!(text.contains("frankfurt  stockholm is down\x1b[2m: node refused,\x1b[0m\n"), "{text}");
        assert!(text.contains(&format!("\n{}\x1b[2mPostgreSQL refused (2 of 2 vantage", " ".repeat(24))), "{text}");
    }

    #[test]
    fn the_last_line_is_replaced_by_what_happens() {
        let mut terminal = Terminal::new(Vec::new(), false, Some(50));
        let pulse =
            Pulse { doing: "steady orders", since: Duration::from_millis(1500), acknowledged: 9, per_second: 6 };
        terminal.tell(News::Pulse(pulse));
        terminal.tell(News::Preparing("x"));
        let text = String::from_utf8(terminal.out).unwrap();
        assert_eq!(text, "\r\x1b[2K      1.5 s  9 orders accepted, 6 in the last sec\r\x1b[2K  x\n");
    }
}

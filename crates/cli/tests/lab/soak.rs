//! Fault schedules from seeds, one after the other on fleets that go on running, each judged when its faults are over.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lifeboat_lab::schedule::{Fault, Schedule};

use crate::lab::{Judged, Lab, Mode};
use crate::record::now;
use crate::sheltered;

/// What is asked for.
pub struct Soak {
    /// The first schedule's; the next ones follow.
    pub seed: u64,
    pub schedules: u64,
    /// No schedule is begun after so long.
    pub minutes: u64,
}

/// So many schedules in a row are played on one fleet, in one mode.
const OF_A_FLEET: u64 = 10;

impl Soak {
    /// Plays them; `false`: one failed.
    pub async fn play(&self, logs: &Path) -> bool {
        let began = Instant::now();
        println!("soak: {} schedules from SEED={}, for at most {} minutes", self.schedules, self.seed, self.minutes);
        let mut figures: BTreeMap<(Mode, String), Vec<Duration>> = BTreeMap::new();
        let mut lab: Option<Lab> = None;
        let (mut survived, mut failed, mut acknowledged, mut lost) = (0, Vec::new(), 0, 0);
        for seed in self.seed..self.seed + self.schedules {
            if began.elapsed() > Duration::from_secs(self.minutes * 60) {
                println!("soak: {} minutes are over", self.minutes);
                break;
            }
            // By the seed alone, so that a seed is always played in the same mode.
            let mode = Mode::ALL[usize::try_from(seed / OF_A_FLEET % 3).unwrap()];
            if lab.as_ref().is_some_and(|lab| lab.mode != mode) {
                lab = None;
            }
            let schedule = Schedule::draw(seed);
            let fleet = match lab.take() {
                Some(lab) => Ok(lab),
                None => sheltered(Lab::start(mode)).await,
            };
            let mut fleet = match fleet {
                Ok(fleet) => fleet,
                Err(why) => {
                    println!("soak: no fleet could be started: {why}");
                    return false;
                }
            };
            let outcome = match sheltered(play(&mut fleet, &schedule)).await {
                Ok(outcome) => outcome,
                Err(why) => Err(why),
            };
            match outcome {
                Ok(judged) => {
                    survived += 1;
                    acknowledged += judged.acknowledged;
                    lost += judged.lost;
                    println!(
                        "soak: {} {seed}: survived, {:.1} s without a write",
                        mode.as_str(),
                        judged.outage.as_secs_f64()
                    );
                    if let [step] = schedule.steps.as_slice() {
                        figures.entry((mode, kind(&step.fault))).or_default().push(judged.outage);
                    }
                    lab = Some(fleet);
                }
                Err(why) => {
                    let kept = keep(logs, &fleet, &schedule, &why).await;
                    println!("soak: {} FAILED; logs in {}\n{schedule}\n{why}", mode.as_str(), kept.display());
                    println!("soak: again by: make soak SEED={seed} SCHEDULES=1");
                    failed.push(seed);
                }
            }
        }
        drop(lab);
        println!(
            "soak: {survived} schedules survived, {} failed {failed:?}; {acknowledged} writes acknowledged, {lost} lost within the RPO; {} s",
            failed.len(),
            began.elapsed().as_secs()
        );
        for ((mode, fault), mut outages) in figures {
            outages.sort();
            let median = outages[outages.len() / 2].as_secs_f64();
            println!(
                "  {:<12} {fault:<76} alone, {} times: median {median:.1} s without a write",
                mode.as_str(),
                outages.len()
            );
        }
        failed.is_empty()
    }
}

/// One schedule: its faults at their times, then the judgement.
async fn play(lab: &mut Lab, schedule: &Schedule) -> Result<Judged, String> {
    lab.record().await;
    let (began, started) = (now(), Instant::now());
    let mut active: BTreeMap<usize, usize> = BTreeMap::new();
    let mut moments: Vec<(Duration, bool, usize)> = Vec::new();
    for (index, step) in schedule.steps.iter().enumerate() {
        moments.push((step.at, true, index));
        moments.push((step.at + step.lasts, false, index));
    }
    moments.sort();
    for (at, begins, index) in moments {
        tokio::time::sleep(at.saturating_sub(started.elapsed())).await;
        if begins {
            let number = lab.begin(schedule.steps[index].fault).await;
            active.insert(index, number);
        } else if let Some(number) = active.remove(&index) {
            lab.end(number).await;
        }
    }
    lab.judge(began).await
}

fn kind(fault: &Fault) -> String {
    match fault {
        Fault::KillEverything(_) => "everything is killed at once".into(),
        other => other.to_string(),
    }
}

/// Keeps what helps to understand a failure.
async fn keep(logs: &Path, lab: &Lab, schedule: &Schedule, why: &str) -> PathBuf {
    let to = logs.join(format!("{}-{}", lab.mode.as_str(), schedule.seed));
    let _ = std::fs::remove_dir_all(&to);
    lab.keep_logs(&to);
    let journal = lab.scene.journal().await;
    let told: String = journal
        .iter()
        .map(|entry| format!("{} {} {:?} {}: {}\n", entry.at, entry.region, entry.kind, entry.what, entry.why))
        .collect();
    // What cannot be kept is not worth a second failure.
    let _ = std::fs::create_dir_all(&to);
    let _ = std::fs::write(to.join("journal"), told);
    let _ = std::fs::write(to.join("failure"), format!("{schedule}\n{why}\n{}", lab.scene.tell().await));
    to
}

//! `lifeboat generate` and what lies in its directory: cut short, changed by hand, another app's, or not what it should be.

#![allow(clippy::unwrap_used, reason = "a test may end by a panic")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value as Json, json};

const TERRAFORM: &str = "terraform/aws/roles.auto.tfvars.json";
const STACKS: &str = "cloudformation/roles.json";

const HEAD: &str = "\
app: shop
failover: {mode: approve}
regions:
  stockholm: {place: aws/eu-north-1}
  frankfurt: {place: aws/eu-central-1}
components:
";
const ORDERS: &str =
    "  orders: {kind: rds, writer: stockholm, standbys: {frankfurt: asynchronous}, pattern: warm-standby}\n";
const WEB: &str =
    "  web: {kind: asg, needs: [orders], pattern: warm-standby, size: {count: 6, image: ami-0123456789abcdef0}}\n";

/// An app's file and a directory for what is generated of it.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn generated(file: &str) -> Self {
        let place = Self::new();
        place.write(file);
        place.succeeds("generate", &[]);
        place
    }

    fn write(&self, file: &str) {
        fs::write(self.0.path().join("lifeboat.yaml"), file).unwrap();
    }

    fn infra(&self) -> PathBuf {
        self.0.path().join("infra")
    }

    fn at(&self, path: &str) -> PathBuf {
        self.infra().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap()
    }

    fn command(&self, verb: &str, words: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.arg(verb).arg(self.0.path().join("lifeboat.yaml")).arg("--out").arg(self.infra()).args(words);
        command
    }

    /// What is printed to both streams, and the exit code.
    fn run(&self, verb: &str, words: &[&str]) -> (Option<i32>, String) {
        let Output { status, stdout, stderr } = self.command(verb, words).output().unwrap();
        (status.code(), String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr))
    }

    fn succeeds(&self, verb: &str, words: &[&str]) -> String {
        let (code, said) = self.run(verb, words);
        assert_eq!(code, Some(0), "{verb} {words:?}: {said}");
        said
    }

    fn fails(&self, verb: &str, words: &[&str], code: i32, expected: &str) {
        let (found, said) = self.run(verb, words);
        assert_eq!(found, Some(code), "{verb} {words:?}: {said}");
        assert!(said.contains(expected), "{verb} {words:?}: {said}");
    }

    /// Generates, and is killed by a limit of ten kilobytes in the middle of the first long file.
    fn is_killed(&self) {
        let limited = ["-c", "ulimit -f 20; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_lifeboat")];
        let cut = Command::new("sh").args(limited).args(self.command("generate", &[]).get_args()).output().unwrap();
        assert!(cut.status.signal().is_some(), "{cut:?}");
    }

    /// What is not in its place yet, or was left behind.
    fn asides(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![self.infra()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                match entry.file_type().unwrap().is_dir() {
                    true => folders.push(entry.path()),
                    false if name.starts_with(".lifeboat-") && name != ".lifeboat-generated" => found.push(name),
                    false => {}
                }
            }
        }
        found
    }

    fn moved_to_frankfurt(&self) {
        self.succeeds("roles", &["--offline", "--writer", "orders=frankfurt"]);
    }

    fn serving(&self) -> Json {
        serde_json::from_str::<Json>(&self.read(TERRAFORM)).unwrap()["serving"]["web"].clone()
    }
}

fn all() -> String {
    format!("{HEAD}{ORDERS}{WEB}")
}

#[test]
fn what_was_cut_short_is_no_edit_whatever_the_file_says_next() {
    let second = format!("{}  files: {{kind: s3, writer: stockholm, standbys: {{frankfurt: asynchronous}}}}\n", all());
    let place = Place::generated(&all());
    for next in [all(), all().replace("count: 6", "count: 9")] {
        place.write(&second);
        place.is_killed();
        assert!(place.read("README.md").contains("files"), "something was written, and not all");
        assert!(!place.read("cloudformation/regional.yaml").contains("Files"));
        place.write(&next);
        let said = place.succeeds("generate", &[]);
        assert!(!said.contains("edit"), "{said}");
        place.succeeds("generate", &["--check"]);
    }
    // A real edit is one still.
    fs::write(place.at("terraform/aws/web.tf"), "# mine\n").unwrap();
    place.fails("generate", &[], 1, "edited by hand");
}

#[test]
fn what_a_killed_run_left_is_cleared_away_and_nothing_else() {
    for verb in ["generate", "roles"] {
        let place = Place::generated(&all());
        place.write(&all().replace("count: 6", "count: 9"));
        place.is_killed();
        let left = place.asides();
        assert_eq!(left.len(), 1, "{left:?}");
        // A run that still goes on holds its file; what a person keeps has another name.
        let held = place.at("terraform/aws/.lifeboat-aside-aB3dE6");
        fs::write(&held, "half").unwrap();
        fs::write(place.at("terraform/aws/.lifeboat-notes"), "mine").unwrap();
        let going_on = fs::File::open(&held).unwrap();
        going_on.try_lock().unwrap();
        assert!(
            place.run("generate", &["--check"]).0 == Some(1) && place.asides().len() == 3,
            "looking changes nothing"
        );
        let words = if verb == "roles" { &["--offline", "--writer", "orders=frankfurt"][..] } else { &[] };
        let said = place.succeeds(verb, words);
        assert!(said.contains(&format!("{}: removed, a run that was killed had left it", left[0])), "{said}");
        let mut kept = place.asides();
        kept.sort();
        assert_eq!(kept, [".lifeboat-aside-aB3dE6", ".lifeboat-notes"]);
        drop(going_on);
        assert!(place.succeeds(verb, words).contains(".lifeboat-aside-aB3dE6: removed"));
        assert_eq!(place.asides(), [".lifeboat-notes"]);
    }
}

#[test]
fn two_at_once_take_turns() {
    let place = Place::generated(&all());
    for count in 7..12 {
        place.write(&all().replace("count: 6", &format!("count: {count}")));
        let quiet = || place.command("generate", &[]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let mut both = [quiet(), quiet()];
        for child in &mut both {
            assert!(child.wait().unwrap().success());
        }
        place.succeeds("generate", &["--check"]);
    }
}

#[test]
fn nothing_of_a_users_is_lost() {
    let place = Place::generated(&all());
    fs::write(place.at("terraform/aws/web.tf.new"), "mine").unwrap();
    let elsewhere = place.0.path().join("roles.json");
    fs::rename(place.at(TERRAFORM), &elsewhere).unwrap();
    fs::set_permissions(&elsewhere, Permissions::from_mode(0o600)).unwrap();
    symlink(&elsewhere, place.at(TERRAFORM)).unwrap();
    place.write(&all().replace("count: 6", "count: 9"));
    place.succeeds("generate", &[]);
    place.moved_to_frankfurt();
    assert_eq!(place.read("terraform/aws/web.tf.new"), "mine");
    assert!(fs::symlink_metadata(place.at(TERRAFORM)).unwrap().is_symlink());
    assert_eq!(fs::metadata(&elsewhere).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(place.serving(), json!(["frankfurt"]));
}

#[test]
fn roles_stay_as_they_are_while_components_come_and_go() {
    let place = Place::generated(&format!("{HEAD}{ORDERS}"));
    place.moved_to_frankfurt();
    place.write(&all());
    place.fails("generate", &["--check"], 1, "web is new in the role files: serves in frankfurt");
    let said = place.succeeds("generate", &[]);
    assert!(said.contains("web is new in the role files: serves in frankfurt"), "{said}");
    assert_eq!(place.serving(), json!(["frankfurt"]));
    assert!(place.read(STACKS).contains("WebServesFrankfurt\", \"ParameterValue\": \"true\""));
    place.succeeds("generate", &["--check"]);

    // A role file that was taken away says again what the others say.
    for path in [STACKS, TERRAFORM] {
        let before = place.read(path);
        fs::remove_file(place.at(path)).unwrap();
        let verb = if path == STACKS {
            ("generate", &[][..])
        } else {
            ("roles", &["--offline", "--writer", "orders=frankfurt"][..])
        };
        place.succeeds(verb.0, verb.1);
        assert_eq!(place.read(path), before, "{path}");
    }

    place.write(&format!("{HEAD}{ORDERS}"));
    let said = place.succeeds("generate", &[]);
    assert!(said.contains("web is gone, and so is its role in terraform/aws"), "{said}");
    assert!(!place.read(STACKS).contains("Web") && place.read(TERRAFORM).contains("\"orders\": \"frankfurt\""));
}

#[test]
fn role_files_that_disagree_or_are_none_are_refused() {
    let place = Place::generated(&all());
    place.succeeds("roles", &["--offline", "--writer", "orders=stockholm"]);
    let first = place.read(TERRAFORM);
    fs::write(place.at(TERRAFORM), first.replace("[\"stockholm\"]", "[\"frankfurt\"]")).unwrap();
    place.fails("generate", &[], 1, "web serves in stockholm by cloudformation/roles.json, frankfurt by terraform/aws");
    place.moved_to_frankfurt();
    place.succeeds("generate", &[]);
    for (text, expected) in [
        ("", "roles.auto.tfvars.json: it is empty"),
        ("nonsense", "roles.auto.tfvars.json: expected"),
        (
            "{\"serving\": {\"web\": [\"mars\"]}}",
            "serving.web: web is not in \"mars\"; expected one of stockholm, frankfurt",
        ),
        ("{\"mine\": 1}", "mine: unknown"),
    ] {
        fs::write(place.at(TERRAFORM), text).unwrap();
        for (verb, words) in [
            ("generate", &[][..]),
            ("generate", &["--check"]),
            ("diff", &[]),
            ("roles", &["--offline", "--writer", "orders=stockholm"]),
        ] {
            place.fails(verb, words, 2, expected);
        }
        assert_eq!(place.read(TERRAFORM), text);
    }
}

#[test]
fn a_writer_is_said_once() {
    let place = Place::generated(&all());
    let words = ["--offline", "--writer", "orders=frankfurt", "--writer", "orders=stockholm"];
    place.fails("roles", &words, 2, "--writer orders=… is there twice");
    // Of a database that is gone nobody is asked.
    fs::write(place.at(TERRAFORM), "{\"writers\": {\"orders\": \"stockholm\", \"gone\": \"frankfurt\"}}").unwrap();
    let said = place.succeeds("roles", &["--offline", "--writer", "orders=stockholm"]);
    assert!(said.contains("gone is gone") && !said.contains("--writer gone"), "{said}");
}

#[test]
fn another_apps_tree_is_left_alone() {
    let place = Place::generated(&all());
    place.moved_to_frankfurt();
    place.write(&all().replace("app: shop", "app: other"));
    for (verb, words) in [
        ("generate", &[][..]),
        ("generate", &["--check"]),
        ("diff", &[]),
        ("roles", &["--offline", "--writer", "orders=stockholm"]),
    ] {
        place.fails(verb, words, 2, "generated for the app `shop`, not for `other`");
    }
    place.succeeds("generate", &["--overwrite"]);
    assert_eq!(place.serving(), json!(["frankfurt"]));
    place.succeeds("generate", &["--check"]);
}

#[test]
fn a_manifest_that_is_lost_or_none_is_told() {
    let place = Place::generated(&all());
    let manifest = ".lifeboat-generated";
    let whole = place.read(manifest);
    for text in ["", "nonsense\n", &whole[..whole.len() / 2], &whole[..whole.len() - 8]] {
        fs::write(place.at(manifest), text).unwrap();
        place.fails("generate", &[], 2, "infra/.lifeboat-generated: ");
        place.fails("generate", &["--check"], 2, "restore it");
    }
    fs::remove_file(place.at(manifest)).unwrap();
    place.write(&format!("{HEAD}{ORDERS}"));
    let said = place.succeeds("generate", &["--overwrite"]);
    for said in [said, place.succeeds("generate", &["--check"])] {
        assert!(said.contains("terraform/aws/web.tf: not generated, and Terraform takes it"), "{said}");
    }
}

#[test]
fn what_is_in_the_way_is_named() {
    let place = Place::generated(&all());
    let script = "lifeboat/stockholm/install.sh";
    fs::set_permissions(place.at(script), Permissions::from_mode(0o644)).unwrap();
    place.fails("generate", &["--check"], 1, "not executable");
    place.succeeds("generate", &[]);
    assert_eq!(fs::metadata(place.at(script)).unwrap().permissions().mode() & 0o777, 0o755);

    for in_the_way in ["directory", "pipe"] {
        fs::remove_file(place.at(script)).unwrap();
        match in_the_way {
            "pipe" => {
                let kind = rustix::fs::FileType::Fifo;
                rustix::fs::mknodat(rustix::fs::CWD, place.at(script), kind, 0o600.into(), 0).unwrap();
            }
            _ => fs::create_dir(place.at(script)).unwrap(),
        }
        place.fails("generate", &["--overwrite"], 1, "lifeboat/stockholm/install.sh: ");
        place.fails("generate", &["--overwrite"], 1, "move it away");
        match in_the_way {
            "pipe" => fs::remove_file(place.at(script)).unwrap(),
            _ => fs::remove_dir(place.at(script)).unwrap(),
        }
        place.succeeds("generate", &[]);
    }
    let file = Place::new();
    file.write(&all());
    fs::write(file.infra(), "").unwrap();
    file.fails("generate", &[], 1, "infra: is no directory");
    fs::remove_file(file.infra()).unwrap();
    symlink(Path::new("none"), file.infra()).unwrap();
    file.fails("generate", &[], 1, "infra: a link that leads nowhere");
}

#[test]
fn a_file_full_of_mistakes_is_answered_at_once() {
    let place = Place::new();
    let parts: String =
        (0..20_000).map(|n| format!("  c{n}: {{kind: asg, pattern: warm-standby, regions: [stockholm]}}\n")).collect();
    place.write(&format!("{HEAD}{parts}"));
    let began = std::time::Instant::now();
    place.fails("generate", &[], 2, "19900 more are not listed");
    assert!(began.elapsed() < std::time::Duration::from_secs(60), "{:?}", began.elapsed());
}

#[test]
fn an_image_is_a_name_and_nothing_else() {
    let place = Place::new();
    place.write(&all());
    for image in ["", "a\nExecStartPre=/bin/evil", "a b", "x%n", "$(id)"] {
        place.fails("generate", &["--image", image], 2, "--image");
        place.fails("generate", &["--etcd-image", image], 2, "--etcd-image");
    }
    place.fails("generate", &["--repository", ""], 2, "--repository");
    place.succeeds("generate", &["--image", "[2001:db8::1]:5000/lifeboat@sha256:0123"]);
}

/// Whatever the file says of an instance is one value in the templates.
#[test]
fn an_instance_is_quoted() {
    for instance in ["m7g.large #big", "*x", "a\\nb: c", " - a", "x${y}"] {
        let file = format!(
            "{HEAD}  web: {{kind: asg, pattern: warm-standby, size: {{instance: \"{instance}\", image: ami-0123456789abcdef0}}}}\n"
        );
        let place = Place::generated(&file);
        let template = place.read("cloudformation/regional.yaml");
        let line = template.lines().find(|line| line.contains("InstanceType: \"")).unwrap_or(&template);
        let written: String = serde_json::from_str(line.split_once(": ").unwrap().1).unwrap();
        assert_eq!(written, instance.replace("\\n", "\n"));
    }
}

//! What an EC2 instance type is as a task of Fargate, which knows no instances: the same processor, cores and memory.

/// Processor and size of a task: what is generated, and what is billed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// `ARM64` or `X86_64`.
    pub architecture: &'static str,
    /// CPU units; 1,024 are one core.
    pub cpu: u32,
    /// MiB.
    pub memory: u32,
}

/// Half a core on x86, where the file names no instance.
const DEFAULT: Task = Task { architecture: "X86_64", cpu: 512, memory: 1_024 };

impl Task {
    /// Of an instance type such as `m7g.large`. Compute, general and memory optimised families have 2, 4 and 8 GiB for a core; of
    /// what is larger than a task can be, the largest task.
    ///
    /// Source: "Task CPU and memory", Amazon ECS Developer Guide.
    pub fn of(instance: Option<&str>) -> Self {
        let Some((family, size)) = instance.and_then(|instance| instance.split_once('.')) else { return DEFAULT };
        let per_core = match family.chars().next() {
            Some('c') => 2,
            Some('r' | 'x') => 8,
            _ => 4,
        };
        let cores = match size {
            "nano" | "micro" | "small" => return Self { architecture: architecture(family), ..DEFAULT },
            "medium" => 1,
            "large" => 2,
            "xlarge" => 4,
            "2xlarge" => 8,
            _ => 16,
        };
        let most = match cores {
            1 => 8,
            2 => 16,
            4 => 30,
            8 => 60,
            _ => 120,
        };
        let gib = (cores * per_core).min(most);
        Self { architecture: architecture(family), cpu: cores * 1_024, memory: gib * 1_024 }
    }
}

/// Why a component of ECS cannot have an instance type, if it cannot; and what to name instead.
pub fn refusal(instance: &str) -> Option<(String, &'static str)> {
    const SIZES: [&str; 8] = ["nano", "micro", "small", "medium", "large", "xlarge", "2xlarge", "4xlarge"];
    let expected = "an instance type with up to 16 cores, whose processor, cores and memory a task gets: `m7g.large` to `m7g.4xlarge`; a greater `count` for more";
    match instance.split_once('.') {
        None => Some((format!("`{instance}` is no instance type of EC2"), expected)),
        Some((_, size)) if SIZES.contains(&size) => None,
        Some(_) => Some((format!("ECS runs on Fargate, where no task is as large as `{instance}`"), expected)),
    }
}

/// Graviton has a `g` behind the generation: `m7g`, `c7gn`, but not `g5`.
fn architecture(family: &str) -> &'static str {
    let behind =
        family.trim_start_matches(|c: char| c.is_ascii_alphabetic()).trim_start_matches(|c: char| c.is_ascii_digit());
    if family == "a1" || behind.contains('g') { "ARM64" } else { "X86_64" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_larger_than_a_task_is_refused() {
        assert_eq!(refusal("m7g.4xlarge"), None);
        for instance in ["m7i.24xlarge", "c7g.metal", "big"] {
            assert!(refusal(instance).is_some_and(|(message, _)| message.contains(instance)));
        }
    }

    #[test]
    fn an_instance_has_a_task_of_its_size() {
        for (instance, architecture, cpu, memory) in [
            (None, "X86_64", 512, 1_024),
            (Some("m6g.large"), "ARM64", 2_048, 8_192),
            (Some("c7gn.medium"), "ARM64", 1_024, 2_048),
            (Some("g5.xlarge"), "X86_64", 4_096, 16_384),
            (Some("r7i.2xlarge"), "X86_64", 8_192, 60 * 1_024),
            (Some("m7i.24xlarge"), "X86_64", 16_384, 64 * 1_024),
            (Some("t4g.nano"), "ARM64", 512, 1_024),
            (Some("whatever"), "X86_64", 512, 1_024),
        ] {
            assert_eq!(Task::of(instance), Task { architecture, cpu, memory }, "{instance:?}");
        }
    }
}

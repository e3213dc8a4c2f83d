//! What compute can do: be built, be started, or run there already, with as many machines as it takes.

use lifeboat_atlas::Metric;
use lifeboat_model::app::{Kind, Pattern, Provider};
use lifeboat_model::compute::full;

use super::{Carriage, Choice, Maker, TargetRule, nothing_lost};
use crate::recovery::StepKind;
use crate::spread::Spread;
use crate::tariff::{Item, Quantities};

impl Maker<'_> {
    pub fn compute(&self) -> Vec<Choice> {
        let count = full(self.component);
        let mut choices = vec![self.rebuilt(), self.running(Pattern::PilotLight, 0, count)];
        for standby in standby_sizes(count, self.component.size.standby) {
            choices.push(self.running(Pattern::WarmStandby, standby, count));
        }
        choices.push(Choice {
            how: format!("all {count} serve in every region"),
            complexity: 4,
            ..self.running(Pattern::ActiveActive, count, count)
        });
        choices
    }

    fn rebuilt(&self) -> Choice {
        let worst = self.published("pattern-backup-restore", Metric::Rto, "");
        let build = Spread::assumed_at(
            [1800.0, 7200.0, 28_800.0, worst.seconds[1], worst.seconds[1] * 2.0],
            format!(
                "assumed: two hours to apply what is generated, where each resource takes minutes, a working day if something is missing; at worst {}",
                worst.source
            ),
        );
        Choice {
            pattern: Pattern::BackupRestore,
            carriage: Carriage::Nothing,
            how: "built from the generated infrastructure when it is needed".into(),
            standby: 0,
            fixed: Vec::new(),
            steps: vec![self.step(StepKind::Build, || build)],
            loss: nothing_lost("it keeps no data"),
            targets: 1,
            rule: TargetRule::Any,
            at_home: Quantities::default(),
            per_target: Quantities::default(),
            traffic_gb: 0.0,
            complexity: 1,
        }
    }

    /// `standby` of `count` machines run in the other region.
    fn running(&self, pattern: Pattern, standby: u32, count: u32) -> Choice {
        let share = f64::from(standby) / f64::from(count);
        let missing = count.saturating_sub(standby);
        let mut steps = Vec::new();
        if missing > 0 {
            steps.push(self.step(StepKind::Launch, || self.launch(missing, count)));
        }
        steps.push(self.step(StepKind::Connect, || {
            Spread::assumed_at(
                [0.02, 0.2, 2.0, 10.0, 20.0],
                "assumed: pools open new connections at the next request, or after a timeout of some seconds",
            )
        }));
        let how = match standby {
            0 => format!("defined there, none running; {count} started at failover"),
            _ if missing == 0 => format!("all {count} run there, unused in peace time"),
            _ => format!("{standby} of {count} run there, the others are started at failover"),
        };
        Choice {
            pattern,
            carriage: Carriage::Nothing,
            how,
            standby,
            fixed: Vec::new(),
            steps,
            loss: nothing_lost("it keeps no data"),
            targets: 1,
            rule: TargetRule::Any,
            at_home: self.checks,
            per_target: self
                .checks
                .with(Item::Compute, self.measure.compute * share)
                .with(Item::Memory, self.measure.memory_gb * share)
                .with(Item::Cluster, 1.0),
            traffic_gb: 0.0,
            complexity: match pattern {
                Pattern::BackupRestore => 1,
                Pattern::PilotLight => 2,
                Pattern::WarmStandby | Pattern::ActiveActive => 3,
            },
        }
    }

    /// Starting machines: the kind's start time, then as fast as the provider launches more. What is launched during a
    /// region's loss competes with everybody else's failover: one launch in a hundred takes many times as long.
    fn launch(&self, missing: u32, count: u32) -> Spread {
        let (base, per_minute) = match self.component.kind {
            Kind::Asg => (self.published("asg-launch-to-in-service", Metric::Duration, ""), 20.0),
            Kind::Ecs => (self.published("ecs-task-start-fargate", Metric::Duration, ""), 60.0),
            Kind::Eks => (self.published("eks-node-start-karpenter", Metric::Duration, ""), 20.0),
            Kind::Vmss => (self.published("vmss-scale-out", Metric::Duration, ""), 20.0),
            Kind::Aks => (self.published("aks-node-start", Metric::Duration, ""), 20.0),
            // A process on a machine of a cloud, of which none runs there yet, boots that machine first.
            Kind::Process if missing == count && self.component.size.instance.is_some() => {
                match self
                    .setting
                    .app
                    .regions
                    .values()
                    .map(|region| region.place.provider)
                    .find(|at| matches!(at, Provider::Aws | Provider::Azure))
                {
                    Some(Provider::Azure) => (self.published("vmss-scale-out", Metric::Duration, ""), 20.0),
                    Some(_) => (self.published("asg-launch-to-in-service", Metric::Duration, ""), 20.0),
                    None => (process(), 60.0),
                }
            }
            Kind::Deployment => (self.published("eks-pod-start-existing-node", Metric::Duration, ""), 60.0),
            _ => (process(), 60.0),
        };
        let queue = f64::from(missing.saturating_sub(1)) / per_minute * 60.0;
        let share = f64::from(missing) / f64::from(count);
        let scarcity = 1.0 + 3.0 * share;
        // The more are asked for at once, the less room there has to be for some not to be had: from a hundred on what happens to
        // one launch in a hundred happens to one in twenty.
        let many = 1.0 + 3.0 * share * (f64::from(missing - 1) / 99.0).min(1.0);
        let [p0, p50, p95, p99, p100] = base.seconds.map(|seconds| seconds + queue);
        let p95 = p95 * many;
        let p99 = (p99 * scarcity).max(p95);
        Spread::assumed_at(
            [p0, p50, p95, p99, (p100 * scarcity).max(p99)],
            format!(
                "assumed: {missing} to start at {per_minute:.0} a minute, capacity scarce in one case in a hundred, and in one of twenty where a hundred or more are wanted at once; {}",
                base.source
            ),
        )
    }
}

fn process() -> Spread {
    Spread::assumed(
        1.0,
        5.0,
        15.0,
        "assumed: a process starts within seconds, as the examples do; a slow one loads caches first",
    )
}

/// How many machines a warm standby may have: each number up to ten, ten steps above that, and what the file says.
fn standby_sizes(count: u32, declared: Option<u32>) -> Vec<u32> {
    // In pieces of ten, so that no product overflows.
    let tenths = |of: u32| count / 10 * of + (count % 10 * of).div_ceil(10);
    let mut sizes: Vec<u32> = if count <= 10 { (1..=count).collect() } else { (1..=10).map(tenths).collect() };
    sizes.extend(declared.filter(|declared| (1..=count).contains(declared)));
    sizes.sort_unstable();
    sizes.dedup();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_standby_has_ten_sizes_and_a_small_one_every_size() {
        assert_eq!(standby_sizes(3, Some(2)), [1, 2, 3]);
        assert_eq!(standby_sizes(25, None), [3, 5, 8, 10, 13, 15, 18, 20, 23, 25]);
        assert_eq!(standby_sizes(25, Some(4))[..3], [3, 4, 5]);
        let most = standby_sizes(u32::MAX, None);
        assert_eq!((most[0], most[9]), (429_496_730, u32::MAX));
    }
}

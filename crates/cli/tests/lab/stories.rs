//! A dozen faults, each with what has to happen while it lasts. What has to hold afterwards is judged for all of them alike.

use std::pin::Pin;
use std::time::Duration;

use lifeboat_lab::check::Loss;
use lifeboat_lab::schedule::{Fault, Part, Who};
use lifeboat_model::RegionId;
use lifeboat_model::database::Gate;
use lifeboat_model::journal::EntryKind;
use lifeboat_model::status::DatabaseStatus;

use crate::lab::{Judged, Lab, Mode};
use crate::record::now;
use crate::world::open_in;

/// The lease of every file here: the default.
const LEASE: Duration = Duration::from_secs(3);

/// A test under way.
type Playing<'a> = Pin<Box<dyn Future<Output = Result<Judged, String>> + 'a>>;

/// A test.
pub struct Story {
    pub name: &'static str,
    pub mode: Mode,
    /// Why it cannot pass yet: it only runs when asked for with `--ignored`.
    pub gap: Option<&'static str>,
    pub play: for<'a> fn(&'a mut Lab) -> Playing<'a>,
}

macro_rules! stories {
    ($($mode:ident: $name:ident $((gap: $gap:literal))?),* $(,)?) => {
        &[$(Story {
            name: stringify!($name),
            mode: Mode::$mode,
            gap: [$($gap)?].first().copied(),
            play: |lab| Box::pin($name(lab)),
        }),*]
    };
}

/// All of them, those of one mode in a row: they share a fleet.
pub const STORIES: &[Story] = stories![
    Synchronous: a_writer_that_is_cut_off_acknowledges_nothing_and_another_region_takes_over,
    Synchronous: a_writer_that_hears_nobody_is_replaced,
    Synchronous: a_writer_that_nobody_hears_is_replaced,
    Synchronous: two_data_regions_that_do_not_reach_each_other_have_one_writer,
    Synchronous: a_witness_that_is_cut_off_changes_nothing,
    Synchronous: a_writer_that_restarts_while_it_is_cut_off_shows_nothing_that_is_taken_back
        (gap: "PostgreSQL restarts in place by itself, and then shows commits that nobody has confirmed"),
    Synchronous: links_that_flap_leave_one_writer,
    Synchronous: slow_links_that_lose_packets_lose_no_writes,
    Synchronous: processes_that_stand_still_one_after_the_other_lose_nothing,
    Synchronous: etcds_leader_is_lost_and_nobody_claims,
    Synchronous: everything_is_killed_at_once_and_started_in_another_order,
    Asynchronous: an_asynchronous_writer_that_is_cut_off_is_replaced_with_a_bounded_loss,
    Quorum: with_two_standbys_a_writer_that_is_cut_off_is_replaced_and_nothing_is_lost,
    Quorum: two_regions_are_lost_one_after_the_other,
];

/// The claims so far.
async fn claims(lab: &Lab) -> usize {
    lab.scene.entries(EntryKind::Claim).await.len()
}

/// Another region than `old` takes over, and writes are acknowledged there, while the fault lasts.
async fn taken_over_from(lab: &Lab, old: &RegionId) {
    lab.acknowledged("another region has taken over", 20, |region| region != old).await;
}

/// A fault of the writer, after which another one writes although the old one lives.
async fn replaced(lab: &mut Lab, fault: Fault) -> Result<Judged, String> {
    lab.record().await;
    let old = lab.writer().await;
    let (began, server) = (now(), lab.scene.postmaster(old.as_str()));
    lab.begin(fault).await;
    taken_over_from(lab, &old).await;
    // The old one is asked all the time, too, and its lease has run out now.
    let taken_over = now();
    lab.scene.eventually("a lease has passed", async || (now().since(taken_over) > LEASE).then_some(())).await;
    assert_eq!(lab.recorder().acknowledged(taken_over, |region| *region == old), 0, "{old} acknowledges");
    assert!(server.is_some_and(lifeboat_drill::processes::Process::is_alive), "its PostgreSQL lived all the time");
    lab.judge(began).await
}

async fn a_writer_that_is_cut_off_acknowledges_nothing_and_another_region_takes_over(
    lab: &mut Lab,
) -> Result<Judged, String> {
    replaced(lab, Fault::CutOff(Who::Writer)).await
}

async fn a_writer_that_hears_nobody_is_replaced(lab: &mut Lab) -> Result<Judged, String> {
    replaced(lab, Fault::Deaf(Who::Writer)).await
}

async fn a_writer_that_nobody_hears_is_replaced(lab: &mut Lab) -> Result<Judged, String> {
    replaced(lab, Fault::Mute(Who::Writer)).await
}

async fn two_data_regions_that_do_not_reach_each_other_have_one_writer(lab: &mut Lab) -> Result<Judged, String> {
    lab.record().await;
    let began = now();
    lab.begin(Fault::CutBetween(Who::Writer, Who::Standby)).await;
    // Either of them goes on, by way of the witness.
    let since = began + LEASE;
    let goes_on = async || (lab.recorder().acknowledged(since, |_| true) >= 50).then_some(());
    lab.scene.eventually("one of them goes on", goes_on).await;
    lab.judge(began).await
}

async fn a_witness_that_is_cut_off_changes_nothing(lab: &mut Lab) -> Result<Judged, String> {
    lab.record().await;
    let (began, before) = (now(), claims(lab).await);
    lab.begin(Fault::CutOff(Who::Third)).await;
    lab.scene.eventually("two leases have passed", async || (now().since(began) > LEASE * 2).then_some(())).await;
    lab.acknowledged("without the witness", 50, |_| true).await;
    let judged = lab.judge(began).await?;
    assert_eq!(claims(lab).await, before, "nobody has claimed");
    assert!(judged.outage < LEASE, "{:?} without a write", judged.outage);
    Ok(judged)
}

async fn a_writer_that_restarts_while_it_is_cut_off_shows_nothing_that_is_taken_back(
    lab: &mut Lab,
) -> Result<Judged, String> {
    lab.record().await;
    let (began, old) = (now(), lab.writer().await);
    lab.begin(Fault::CutOff(Who::Writer)).await;
    // Written down there, and confirmed by nobody: a restart forgets that they wait, and its server restarts in place by itself.
    let waiting = async || (lab.recorder().refused(began, &old) >= 1).then_some(());
    lab.scene.eventually("a write is given up", waiting).await;
    lab.crash(&old);
    let crashed = now();
    let again = async || (lab.recorder().refused(crashed, &old) >= 2).then_some(());
    lab.scene.eventually("the server takes writes again, and nobody confirms them", again).await;
    taken_over_from(lab, &old).await;
    lab.judge(began).await
}

async fn links_that_flap_leave_one_writer(lab: &mut Lab) -> Result<Judged, String> {
    lab.record().await;
    let began = now();
    lab.begin(Fault::Flap(Who::Writer)).await;
    lab.scene.eventually("two leases have passed", async || (now().since(began) > LEASE * 2).then_some(())).await;
    lab.judge(began).await
}

async fn slow_links_that_lose_packets_lose_no_writes(lab: &mut Lab) -> Result<Judged, String> {
    lab.record().await;
    let began = now();
    lab.begin(Fault::Slow(Who::Writer)).await;
    lab.scene.eventually("two leases have passed", async || (now().since(began) > LEASE * 2).then_some(())).await;
    lab.acknowledged("over slow links", 50, |_| true).await;
    lab.judge(began).await
}

async fn processes_that_stand_still_one_after_the_other_lose_nothing(lab: &mut Lab) -> Result<Judged, String> {
    lab.record().await;
    let began = now();
    for part in [Part::Etcd, Part::Node, Part::Database] {
        let stopped = now();
        let number = lab.begin(Fault::Stop(Who::Writer, part)).await;
        let passed = async || (now().since(stopped) > LEASE + Duration::from_secs(1)).then_some(());
        lab.scene.eventually("a lease has passed", passed).await;
        lab.end(number).await;
        lab.acknowledged("it goes on", 20, |_| true).await;
    }
    lab.judge(began).await
}

async fn etcds_leader_is_lost_and_nobody_claims(lab: &mut Lab) -> Result<Judged, String> {
    lab.record().await;
    let writer = lab.writer().await;
    lab.scene.world.lead_etcd_from(&writer).await.unwrap();
    let (began, before) = (now(), claims(lab).await);
    lab.begin(Fault::Kill(Who::Writer, Part::Etcd)).await;
    lab.scene.eventually("two leases have passed", async || (now().since(began) > LEASE * 2).then_some(())).await;
    lab.acknowledged("with another leader", 20, |region| *region == writer).await;
    let judged = lab.judge(began).await?;
    assert_eq!(claims(lab).await, before, "nobody has claimed");
    Ok(judged)
}

async fn everything_is_killed_at_once_and_started_in_another_order(lab: &mut Lab) -> Result<Judged, String> {
    lab.record().await;
    let began = now();
    lab.begin(Fault::KillEverything([Who::Third, Who::Standby, Who::Writer])).await;
    lab.judge(began).await
}

async fn an_asynchronous_writer_that_is_cut_off_is_replaced_with_a_bounded_loss(
    lab: &mut Lab,
) -> Result<Judged, String> {
    let judged = replaced(lab, Fault::CutOff(Who::Writer)).await?;
    assert!(matches!(lab.mode.loss(), Loss::AtMost(_)));
    // It confirmed by its own lease for a while, and nobody else had that.
    assert!(judged.lost > 0, "something is lost, or the checker does not see it");
    Ok(judged)
}

async fn with_two_standbys_a_writer_that_is_cut_off_is_replaced_and_nothing_is_lost(
    lab: &mut Lab,
) -> Result<Judged, String> {
    replaced(lab, Fault::CutOff(Who::Writer)).await
}

async fn two_regions_are_lost_one_after_the_other(lab: &mut Lab) -> Result<Judged, String> {
    lab.record().await;
    let (began, first) = (now(), lab.writer().await);
    let back = lab.begin(Fault::KillRegion(Who::Writer)).await;
    taken_over_from(lab, &first).await;
    let second = lab.writer().await;
    // As long as it is alone, nobody else holds what it acknowledges, and nobody may take over.
    let accompanied = |status: &DatabaseStatus| {
        let gate = status.servers.get(&second).map(|server| &server.gate);
        matches!(gate, Some(Gate::Peers { .. })) && status.holders.len() > 1
    };
    lab.scene.until("the third region confirms", second.as_str(), accompanied).await;
    lab.begin(Fault::KillRegion(Who::Writer)).await;
    // One of three is no majority, so nobody writes until one of them is back.
    lab.end(back).await;
    lab.acknowledged("with one of them back", 20, |region| *region != second).await;
    let writer = lab.writer().await;
    lab.scene.until("it is recorded so", writer.as_str(), |status| open_in(status, writer.as_str())).await;
    lab.judge(began).await
}

//! Simulates ten years of several replicas with slow API servers, failures, and admins who break the objects.
//!
//! The replicas are real, including their cryptography. The cluster is a model with the guarantees of a real one:
//! optimistic locking, consistent reads, and bundles that API servers load within a minute. Asserted: every API server
//! accepts every replica's certificate at all times, except after an admin has destroyed the trust, until
//! the replicas have reconciled and the API servers have loaded the result.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use rustls_pki_types::ServerName;

use crate::authority::Authority;
use crate::bundle::Bundle;
use crate::ca_set::{CaSet, MAX_TRUSTED};
use crate::leaf::Leaf;
use crate::policy::Policy;
use crate::published::{Configuration, ConfigurationState, Entry, Kind, Published};
use crate::rotation::{CaSecret, ReplacementReason};
use crate::rotator::{Cluster, RotationError, Rotator};
use crate::store::{Data, StoredSecret, decode, encode};
use crate::testing::{names, start};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEARS: i64 = 10;

/// splitmix64; the same seed gives the same run on every machine.
struct RandomSource(u64);

impl RandomSource {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: i64) -> i64 {
        i64::try_from(self.roll() % n.unsigned_abs()).expect("less than n")
    }

    fn one_in(&mut self, n: i64) -> bool {
        self.below(n) == 0
    }
}

/// A bundle with a unique version.
type Loaded = Option<Rc<(u64, Vec<u8>)>>;

/// An API server: the loaded bundle of each configuration and those it will load. `None` for a missing configuration.
#[derive(Default)]
struct Server {
    loaded: [Loaded; 2],
    coming: Vec<(Timestamp, usize, Loaded)>,
}

impl Server {
    fn load(&mut self, now: Timestamp) {
        for configuration in 0..2 {
            let due = |it: &(Timestamp, usize, _)| it.1 == configuration && it.0 <= now;
            if let Some(latest) = self.coming.iter().rposition(due) {
                self.loaded[configuration].clone_from(&self.coming[latest].2);
                let mut at = 0;
                self.coming.retain(|it| {
                    at += 1;
                    it.1 != configuration || at > latest + 1
                });
            }
        }
    }
}

/// The stored objects, each with its version.
struct SimulatedCluster {
    random: RandomSource,
    now: Timestamp,
    version: u64,
    secret: Option<(u64, CaSecret)>,
    configurations: [Option<(u64, Vec<u8>)>; 2],
    servers: Vec<Server>,
    /// Whether requests sometimes fail.
    unreliable: bool,
    /// Whether responses contain the API server's clock.
    uses_server_clock: bool,
    /// When the cluster last changed.
    changed: Timestamp,
    reports: Vec<ReplacementReason>,
    promotions: u32,
    conflicts: u32,
}

impl SimulatedCluster {
    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.changed = self.now;
        self.version
    }

    fn set_secret(&mut self, data: Option<Data>) {
        let version = self.next_version();
        self.secret = data.map(|data| (version, decode(&data).map_or_else(CaSecret::Invalid, CaSecret::Usable)));
    }

    fn set_configuration(&mut self, which: usize, bundle: Option<Vec<u8>>) {
        let version = self.next_version();
        self.configurations[which] = bundle.clone().map(|bundle| (version, bundle));
        let bundle = bundle.map(|bundle| Rc::new((version, bundle)));
        for server in 0..self.servers.len() {
            let at = self.now + SignedDuration::from_secs(self.random.below(MINUTE + 1));
            self.servers[server].coming.push((at, which, bundle.clone()));
            self.servers[server].load(self.now);
        }
    }

    /// Loses a request sometimes: before (false) or after (true) it is carried out.
    fn lose_request(&mut self) -> Option<bool> {
        (self.unreliable && self.random.one_in(20)).then(|| self.random.one_in(2))
    }
}

struct Model(RefCell<SimulatedCluster>);

impl Model {
    /// Lets other replicas run.
    async fn pause(&self) {
        let times = self.0.borrow_mut().random.below(4);
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }

    async fn write(
        &self,
        write: impl FnOnce(&mut SimulatedCluster) -> Result<(), RotationError>,
    ) -> Result<(), RotationError> {
        self.pause().await;
        let cluster = &mut *self.0.borrow_mut();
        match cluster.lose_request() {
            Some(true) => return Err(RotationError::Deadline),
            Some(false) => {
                write(cluster)?;
                return Err(RotationError::Deadline);
            }
            None => {}
        }
        let outcome = write(cluster);
        cluster.conflicts += u32::from(outcome.is_err());
        outcome
    }
}

impl Cluster for Model {
    async fn published(&self) -> (Published, Option<Timestamp>, Option<RotationError>) {
        self.pause().await;
        let cluster = &mut *self.0.borrow_mut();
        let reason = cluster.lose_request().map(|_| cluster.random.below(2));
        let configurations = [(0, Kind::Mutating), (1, Kind::Validating)].map(|(index, kind)| {
            let seen = match &cluster.configurations[usize::try_from(index).expect("small")] {
                _ if reason == Some(index) => ConfigurationState::Unreadable,
                None => ConfigurationState::Missing,
                Some((version, bundle)) => ConfigurationState::Found {
                    resource_version: version.to_string(),
                    entries: vec![Entry {
                        name: "hook".to_owned(),
                        ca_bundle: bundle.clone(),
                    }],
                },
            };
            Configuration {
                kind,
                name: "hook".to_owned(),
                seen,
            }
        });
        (
            Published {
                configurations: configurations.to_vec(),
            },
            cluster.uses_server_clock.then_some(cluster.now),
            reason.map(|_| RotationError::Deadline),
        )
    }

    async fn secret(&self) -> Result<StoredSecret, RotationError> {
        self.pause().await;
        let cluster = &mut *self.0.borrow_mut();
        if cluster.lose_request().is_some() {
            return Err(RotationError::Deadline);
        }
        Ok(match &cluster.secret {
            None => StoredSecret {
                state: CaSecret::Absent,
                basis: None,
            },
            Some((version, state)) => StoredSecret {
                state: state.clone(),
                basis: Some(Secret {
                    metadata: ObjectMeta {
                        resource_version: Some(version.to_string()),
                        ..ObjectMeta::default()
                    },
                    ..Secret::default()
                }),
            },
        })
    }

    async fn create(&self, ca_set: &CaSet) -> Result<(), RotationError> {
        self.write(|cluster| {
            if cluster.secret.is_some() {
                return Err(RotationError::Conflict);
            }
            cluster.set_secret(Some(encode(ca_set)));
            Ok(())
        })
        .await
    }

    async fn update(&self, basis: &StoredSecret, ca_set: &CaSet) -> Result<(), RotationError> {
        self.write(|cluster| {
            let based_on = basis
                .basis
                .as_ref()
                .and_then(|secret| secret.metadata.resource_version.clone());
            let Some((version, before)) = &cluster.secret else {
                return Err(RotationError::Conflict);
            };
            if based_on != Some(version.to_string()) {
                return Err(RotationError::Conflict);
            }
            if let CaSecret::Usable(CaSet { next: Some(next), .. }) = before {
                cluster.promotions += u32::from(next.certificate() == ca_set.current.certificate());
            }
            cluster.set_secret(Some(encode(ca_set)));
            Ok(())
        })
        .await
    }

    async fn publish(&self, bundle: &Bundle, targets: &[Configuration]) -> Result<(), RotationError> {
        let mut outcome = Ok(());
        for target in targets {
            let which = usize::from(target.kind == Kind::Validating);
            let ConfigurationState::Found { resource_version, .. } = &target.seen else {
                continue;
            };
            let written = self
                .write(|cluster| match &cluster.configurations[which] {
                    Some((version, _)) if version.to_string() == *resource_version => {
                        cluster.set_configuration(which, Some(bundle.to_pem()));
                        Ok(())
                    }
                    _ => Err(RotationError::Conflict),
                })
                .await;
            outcome = outcome.and(written);
        }
        outcome
    }

    async fn report(&self, loss: &ReplacementReason, _now: Timestamp) {
        self.0.borrow_mut().reports.push(loss.clone());
    }
}

/// A replica.
struct Replica {
    rotator: Rotator,
    /// Until when its machine is suspended.
    suspended: Timestamp,
    /// The error of its clock.
    ahead: SignedDuration,
    /// Until when its certificate may be rejected because its clock is or was wrong.
    astray: Option<Timestamp>,
    /// Whether it has reconciled successfully since it started, resumed, or trust was destroyed.
    looked: bool,
    /// Number of certificates that it has served.
    leaves: u64,
}

/// The faults of a run.
#[derive(Clone, Copy, PartialEq)]
enum FaultProfile {
    /// Only restarts and lost requests.
    Ordinary,
    /// The Secret is deleted, corrupted or replaced while all replicas run.
    Secret,
    /// All faults, including destroyed trust.
    All,
    /// The clock of one replica is wrong by days or years, for days or weeks; API servers send no clock.
    Clock,
    /// The same, further ahead; API servers send their clock.
    ToldClock,
    /// CAs that become valid in days or years are written to the Secret; one replica's clock is years ahead.
    Future,
}

/// Largest clock error in days. A CA issued by a fast clock is not valid yet: while the serving certificate lasts, for
/// at least a third of seven days, no replica has to use it.
const BACK: i64 = 10 * 365;
const AHEAD: i64 = 2;
/// The same if API servers send their clock.
const FAR_AHEAD: i64 = 10 * 365;

struct Simulation {
    model: Model,
    replicas: Vec<Replica>,
    policy: Policy,
    names: Vec<ServerName<'static>>,
    faults: FaultProfile,
    /// Until when rejections are allowed; `None` while a replica has yet to reconcile.
    excused: Option<Timestamp>,
    /// By replica, number of its certificate, and version of the bundle.
    verdicts: HashMap<(usize, u64, u64), bool>,
    accepted: u64,
    rejected: u64,
    disturbances: u32,
}

impl Simulation {
    fn new(seed: u64, replicas: usize, faults: FaultProfile) -> Self {
        let policy = Policy::default();
        let names = names().subject_alternative_names().expect("valid");
        let mut cluster = SimulatedCluster {
            random: RandomSource(seed),
            now: start(),
            version: 0,
            secret: None,
            configurations: [None, None],
            servers: vec![Server::default(), Server::default()],
            unreliable: true,
            uses_server_clock: faults != FaultProfile::Clock,
            changed: start(),
            reports: Vec::new(),
            promotions: 0,
            conflicts: 0,
        };
        cluster.set_configuration(0, Some(Vec::new()));
        cluster.set_configuration(1, Some(Vec::new()));
        let replica = |_| Replica {
            rotator: Rotator::new(names.clone(), policy.clone()),
            suspended: start(),
            ahead: SignedDuration::ZERO,
            astray: None,
            looked: false,
            leaves: 0,
        };
        Self {
            model: Model(RefCell::new(cluster)),
            replicas: (0..replicas).map(replica).collect(),
            policy: policy.clone(),
            names: names.clone(),
            faults,
            excused: None,
            verdicts: HashMap::new(),
            accepted: 0,
            rejected: 0,
            disturbances: 0,
        }
        .with_clocks()
    }

    fn with_clocks(mut self) -> Self {
        if self.faults == FaultProfile::Future {
            self.replicas[0].ahead = SignedDuration::from_secs(FAR_AHEAD * DAY);
        }
        self
    }

    fn cluster(&mut self) -> &mut SimulatedCluster {
        self.model.0.get_mut()
    }

    /// All running replicas reconcile concurrently, with interleaved requests. Returns whether all succeeded.
    async fn reconcile(&mut self) -> bool {
        let now = self.cluster().now;
        let (model, faults, settle) = (&self.model, self.faults, self.policy.settle);
        let reconcile = async |replica: Option<&mut Replica>| {
            let Some(replica) = replica.filter(|replica| replica.suspended <= now) else {
                return true;
            };
            let before = replica.rotator.leaf().map(|leaf| leaf.certificate().clone());
            let losses = model.0.borrow().reports.len();
            let (_, _, failure) = replica.rotator.work(model, now + replica.ahead).await;
            replica.looked |= failure.is_none();
            // A replica without a certificate and a CA cannot wait until its new CA is loaded.
            if faults == FaultProfile::Future && before.is_none() && model.0.borrow().reports.len() > losses {
                replica.astray = Some(now + settle);
            }
            replica.leaves += u64::from(before.as_ref() != replica.rotator.leaf().map(Leaf::certificate));
            failure.is_none()
        };
        let mut each = self.replicas.iter_mut();
        let (one, two, three) = tokio::join!(reconcile(each.next()), reconcile(each.next()), reconcile(each.next()));
        let all = self
            .replicas
            .iter()
            .all(|replica| replica.looked || replica.suspended > now);
        let some = self.replicas.iter().any(|replica| replica.looked);
        if some && all && self.excused.is_none() {
            self.excused = Some(now + self.policy.settle);
        }
        one && two && three
    }

    /// Asserts that every API server accepts every replica's certificate.
    fn check(&mut self, moment: &str) {
        let cluster = self.model.0.get_mut();
        let now = cluster.now;
        for server in &mut cluster.servers {
            server.load(now);
        }
        let replicas = self.replicas.iter_mut().enumerate();
        for (number, replica) in replicas.filter(|(_, replica)| replica.looked) {
            let leaf = replica
                .rotator
                .leaf()
                .expect("a certificate is served since the first reconciliation");
            let mut by_all = true;
            for bundle in cluster.servers.iter().flat_map(|server| server.loaded.iter().flatten()) {
                // Signatures do not depend on the time: each pair is verified once, in the middle of the validity period.
                let (version, bundle) = &**bundle;
                let key = (number, replica.leaves, *version);
                let issuer = &leaf.serving().issuer;
                let signed = *self.verdicts.entry(key).or_insert_with(|| {
                    let then = leaf.serving().validity.not_before;
                    Bundle::of(
                        Bundle::parse(bundle)
                            .certificates()
                            .iter()
                            .filter(|ca| *ca == issuer)
                            .cloned(),
                    )
                    .verifies(leaf.certificate(), &self.names, then.max(issuer.validity().not_before))
                    .is_ok()
                });
                if signed && leaf.serving().validity.is_valid_at(now) && issuer.validity().is_valid_at(now) {
                    self.accepted += 1;
                } else if replica.astray.is_some_and(|until| now <= until) {
                    by_all = false;
                    self.rejected += 1;
                } else {
                    assert!(
                        self.excused.is_none_or(|until| now <= until),
                        "{moment} {now} (excused {:?}): replica {number} is refused: serves from {issuer:?}, {:?}; loaded {:?}; Secret {:?}",
                        self.excused,
                        leaf.serving().validity,
                        Bundle::parse(bundle),
                        cluster.secret,
                    );
                    self.rejected += 1;
                }
            }
            if by_all && replica.ahead.is_zero() {
                replica.astray = None;
            }
        }
    }

    /// Asserts the published bundle after all replicas have reconciled without interference.
    fn check_published(&mut self) {
        let cluster = self.model.0.get_mut();
        let Some((_, CaSecret::Usable(ca_set))) = &cluster.secret else {
            return;
        };
        let wanted = ca_set.bundle(cluster.now);
        assert!(wanted.certificates().len() <= MAX_TRUSTED);
        for (_, published) in cluster.configurations.iter().flatten() {
            assert_eq!(Bundle::parse(published), wanted, "{}: what is published", cluster.now);
            assert_eq!(
                Bundle::parse(published).without_expired_at(cluster.now),
                wanted,
                "{}: ended",
                cluster.now
            );
        }
    }

    fn destroy_trust(&mut self) {
        self.excused = None;
        self.disturbances += 1;
        for replica in &mut self.replicas {
            replica.looked = false;
        }
    }

    fn interfere(&mut self) {
        let now = self.cluster().now;
        let choice = self.cluster().random.below(14);
        let which = usize::from(self.cluster().random.one_in(2));
        match (self.faults, choice) {
            (FaultProfile::Ordinary | FaultProfile::All | FaultProfile::Future, 0..4) => self.restart(),
            (FaultProfile::Ordinary | FaultProfile::All, 4..6) => {
                let days = 1 + self.cluster().random.below(20);
                self.suspend_one(now + SignedDuration::from_secs(days * DAY));
            }
            (FaultProfile::All, 6) => {
                self.cluster().set_configuration(which, Some(Vec::new()));
                self.destroy_trust();
            }
            (FaultProfile::All, 7) => {
                let stranger = Authority::issue(now, &self.policy).expect("minted");
                let pem = [stranger.certificate_pem().as_bytes(), b"-----BEGIN nonsense"].concat();
                self.cluster().set_configuration(which, Some(pem));
                self.destroy_trust();
            }
            (FaultProfile::All, 8) => {
                // Deleted, or reset to the manifest.
                let back = self.cluster().configurations[which].is_none().then(Vec::new);
                let restored = back.is_some();
                self.cluster().set_configuration(which, back);
                if restored {
                    self.destroy_trust();
                }
            }
            (FaultProfile::All | FaultProfile::Secret, 9..12) => {
                self.break_secret();
                if self.faults == FaultProfile::All {
                    self.destroy_trust();
                } else {
                    self.disturbances += 1;
                }
            }
            (FaultProfile::All, 12) if self.cluster().random.one_in(8) => {
                // All replicas are suspended for longer than a CA lives.
                self.cluster().now = now + SignedDuration::from_secs(400 * DAY);
                self.destroy_trust();
            }
            (FaultProfile::Clock | FaultProfile::ToldClock, _) => self.jump(),
            (FaultProfile::Future, _) => self.bring_future(),
            _ => {}
        }
    }

    /// Corrects the wrong clock, or makes one jump. Its certificates may be rejected meanwhile and until its CA is valid,
    /// unless the clock is ahead and API servers send theirs.
    fn jump(&mut self) {
        self.disturbances += 1;
        let now = self.cluster().now;
        let new_status = self.cluster().uses_server_clock;
        let (most, excused) = if new_status { (FAR_AHEAD, 1) } else { (AHEAD, AHEAD + 1) };
        if let Some(replica) = self.replicas.iter_mut().find(|replica| !replica.ahead.is_zero()) {
            if replica.astray.is_some() {
                replica.astray = Some(now + SignedDuration::from_secs(excused * DAY));
            }
            replica.ahead = SignedDuration::ZERO;
            return;
        }
        let which = self.any_replica();
        let random = &mut self.cluster().random;
        let ahead = 1 + match random.below(4) {
            0 => -random.below(BACK * DAY),
            1 => -random.below(DAY),
            _ => random.below(most * DAY),
        };
        self.replicas[which].ahead = SignedDuration::from_secs(ahead);
        if !new_status || ahead < 0 {
            self.replicas[which].astray = Some(Timestamp::MAX);
        }
    }

    /// Writes a CA that is not valid yet, as a replica with a fast clock or an admin may do.
    fn bring_future(&mut self) {
        let now = self.cluster().now;
        let random = &mut self.cluster().random;
        let days = 1 + if random.one_in(2) {
            random.below(30)
        } else {
            random.below(FAR_AHEAD)
        };
        let kind = random.below(3);
        let Some((_, CaSecret::Usable(replica))) = self.cluster().secret.clone() else {
            return;
        };
        let future = Authority::issue(now + SignedDuration::from_secs(days * DAY), &self.policy).expect("minted");
        let brought = match kind {
            0 => CaSet::new(future, None),
            1 => replica.with_next(future).promoted(),
            _ => replica.with_next(future),
        };
        self.cluster().set_secret(Some(encode(&brought)));
        self.disturbances += 1;
    }

    fn break_secret(&mut self) {
        let now = self.cluster().now;
        match self.cluster().random.below(3) {
            0 => self.cluster().set_secret(None),
            1 => {
                let nonsense = ByteString(b"nonsense".to_vec());
                self.cluster()
                    .set_secret(Some(Data::from([("tls.crt".to_owned(), nonsense)])));
            }
            _ => {
                let life = SignedDuration::from_secs((30 + self.cluster().random.below(700)) * DAY);
                let own = Policy {
                    ca_life: life,
                    ..self.policy.clone()
                };
                let brought = Authority::issue(now, &own).expect("minted");
                self.cluster().set_secret(Some(encode(&CaSet::new(brought, None))));
            }
        }
    }

    fn restart(&mut self) {
        let which = self.any_replica();
        let rotator = Rotator::new(self.names.clone(), self.policy.clone());
        self.replicas[which].rotator = rotator;
        self.replicas[which].looked = false;
    }

    fn suspend_one(&mut self, until: Timestamp) {
        let which = self.any_replica();
        self.replicas[which].suspended = until;
        self.replicas[which].looked = false;
    }

    fn any_replica(&mut self) -> usize {
        let all = i64::try_from(self.replicas.len()).expect("few");
        usize::try_from(self.cluster().random.below(all)).expect("not negative")
    }

    async fn run(&mut self) {
        let end = start() + SignedDuration::from_secs(YEARS * 365 * DAY);
        while self.cluster().now < end {
            self.check("before a reconciliation");
            let succeeded = self.reconcile().await;
            self.check("after a reconciliation");
            // With a wrong clock, replicas disagree about what has expired.
            let new_status = self.cluster().uses_server_clock;
            let is_right = |replica: &Replica| replica.ahead.is_zero() || (new_status && replica.ahead.is_positive());
            let all_right = self.replicas.iter().all(is_right);
            if succeeded && all_right && self.replicas.iter().any(|replica| replica.looked) {
                self.check_published();
            }
            let now = self.cluster().now;
            let wakes = self
                .replicas
                .iter()
                .any(|replica| replica.suspended <= now && !replica.looked);
            let calm = !wakes && self.cluster().changed + SignedDuration::from_secs(3 * MINUTE) < now;
            let odds = if calm { 120 } else { 400 };
            // A second loss within a minute may exceed the capacity of the bundle; that counts as destroyed trust.
            let allow = calm || self.faults == FaultProfile::All;
            let interferes = allow && self.cluster().random.one_in(odds);
            if interferes {
                self.interfere();
            }
            let longest = if calm && !interferes { 12 * HOUR } else { 20 };
            let step = 1 + self.cluster().random.below(longest);
            let later = self.cluster().now + SignedDuration::from_secs(step);
            self.cluster().now = later;
        }
    }
}

fn simulate(replicas: usize, faults: FaultProfile) {
    let runs = std::env::var("CNBI_SIMULATIONS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(1);
    for seed in 0..runs {
        let mut simulation = Simulation::new(seed, replicas, faults);
        println!("seed {seed}, {replicas} replicas");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(simulation.run());
        let leaves: Vec<_> = simulation.replicas.iter().map(|replica| replica.leaves).collect();
        let Simulation {
            accepted,
            rejected,
            disturbances,
            ..
        } = simulation;
        let SimulatedCluster {
            promotions,
            conflicts,
            reports,
            version: writes,
            ..
        } = simulation.model.0.into_inner();
        println!(
            "accepted {accepted}, refused {rejected}, disturbances {disturbances}, promotions {promotions}, writes {writes}, \
             conflicts {conflicts}, losses {}, leaves {leaves:?}",
            reports.len()
        );
        assert!(accepted > 20_000, "too few checks");
        assert!(
            leaves.iter().all(|leaves| *leaves > 300),
            "renewed too rarely: {leaves:?}"
        );
        match faults {
            FaultProfile::Ordinary => {
                assert!(
                    (14..=16).contains(&promotions),
                    "a CA lives for two thirds of a year: {promotions}"
                );
                assert!(reports.is_empty(), "{reports:?}");
                assert!(rejected < 500, "only before the first publication");
            }
            FaultProfile::Secret => assert!(disturbances > 10 && reports.len() > 5),
            FaultProfile::Clock => assert!(disturbances > 50 && rejected > 0 && rejected < accepted / 5),
            FaultProfile::ToldClock => {
                assert!(disturbances > 50 && rejected > 0 && rejected < accepted / 5);
                assert!(reports.is_empty(), "{reports:?}");
                assert!(
                    writes < 200,
                    "a rotation takes eight, and a clock that is off none: {writes}"
                );
            }
            FaultProfile::Future => {
                let early = reports
                    .iter()
                    .filter(|loss| matches!(loss, ReplacementReason::NotYetValid(_)))
                    .count();
                assert!(disturbances > 50 && early > 10, "{disturbances}, {early}");
                assert_eq!(early, reports.len(), "{reports:?}");
                assert!(
                    early <= usize::try_from(disturbances).expect("few"),
                    "each is replaced once"
                );
                assert!(writes < 200 + 12 * u64::from(disturbances), "{writes} writes");
                assert!(rejected < 500, "only before the first publication");
            }
            FaultProfile::All => assert!(disturbances > 20 && rejected > 0 && rejected < accepted / 20),
        }
        if replicas > 1 {
            assert!(conflicts > 0, "there were no conflicts");
        }
    }
}

macro_rules! simulations {
    ($($name:ident: $replicas:literal, $faults:ident;)*) => {
        $(#[test]
        fn $name() {
            simulate($replicas, FaultProfile::$faults);
        })*
    };
}

simulations! {
    one_replica_is_never_refused: 1, Ordinary;
    three_replicas_are_never_refused: 3, Ordinary;
    a_lost_secret_goes_unnoticed: 2, Secret;
    trust_that_was_destroyed_comes_back: 2, All;
    a_clock_that_is_off_costs_nobody_else: 3, Clock;
    a_clock_that_is_years_ahead_costs_nothing_where_the_time_is_told: 3, ToldClock;
    a_ca_of_the_future_fails_no_call_and_starts_no_exchange: 3, Future;
}

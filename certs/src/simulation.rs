//! Ten years of several replicas, API servers that are slow to load, and people who break things.
//!
//! The replicas are the real ones down to the cryptography; the cluster is a model that keeps the promises which the real
//! one makes: versions guard writes, reads see what was written, and a bundle is loaded within a minute. The claim is that
//! an API server accepts every replica's certificate at every moment, except when a person has destroyed trust, until
//! the replicas have looked and the API servers have loaded what they wrote.

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
use crate::keeper::{Cluster, Failure, Keeper};
use crate::leaf::Leaf;
use crate::policy::Policy;
use crate::published::{Configuration, Entry, Kind, Published, Seen};
use crate::rotation::{CaSecret, Loss};
use crate::store::{Data, Stored, decode, encode};
use crate::succession::{MOST_TRUSTED, Succession};
use crate::testing::{names, start};

const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const YEARS: i64 = 10;

/// splitmix64: a seed gives the same ten years on every machine.
struct Dice(u64);

impl Dice {
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

/// A bundle with the version that tells it from all others.
type Loaded = Option<Rc<(u64, Vec<u8>)>>;

/// An API server: what it has loaded of each configuration, and what it will have. None where there is none.
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
struct World {
    dice: Dice,
    now: Timestamp,
    version: u64,
    secret: Option<(u64, CaSecret)>,
    configurations: [Option<(u64, Vec<u8>)>; 2],
    servers: Vec<Server>,
    /// Whether requests fail at times.
    unreliable: bool,
    /// Whether replicas are told what its clock says.
    tells_time: bool,
    /// When the cluster last changed.
    changed: Timestamp,
    reports: Vec<Loss>,
    promotions: u32,
    conflicts: u32,
}

impl World {
    fn next_version(&mut self) -> u64 {
        self.version += 1;
        self.changed = self.now;
        self.version
    }

    fn set_secret(&mut self, data: Option<Data>) {
        let version = self.next_version();
        self.secret = data.map(|data| (version, decode(&data).map_or_else(CaSecret::Unusable, CaSecret::Usable)));
    }

    fn set_configuration(&mut self, which: usize, bundle: Option<Vec<u8>>) {
        let version = self.next_version();
        self.configurations[which] = bundle.clone().map(|bundle| (version, bundle));
        let bundle = bundle.map(|bundle| Rc::new((version, bundle)));
        for server in 0..self.servers.len() {
            let at = self.now + SignedDuration::from_secs(self.dice.below(MINUTE + 1));
            self.servers[server].coming.push((at, which, bundle.clone()));
            self.servers[server].load(self.now);
        }
    }

    /// A request that gets lost: before it is carried out, or after.
    fn mishap(&mut self) -> Option<bool> {
        (self.unreliable && self.dice.one_in(20)).then(|| self.dice.one_in(2))
    }
}

struct Model(RefCell<World>);

impl Model {
    /// Lets the other replicas come between.
    async fn pause(&self) {
        let times = self.0.borrow_mut().dice.below(4);
        for _ in 0..times {
            tokio::task::yield_now().await;
        }
    }

    async fn write(&self, write: impl FnOnce(&mut World) -> Result<(), Failure>) -> Result<(), Failure> {
        self.pause().await;
        let world = &mut *self.0.borrow_mut();
        match world.mishap() {
            Some(true) => return Err(Failure::Deadline),
            Some(false) => {
                write(world)?;
                return Err(Failure::Deadline);
            }
            None => {}
        }
        let outcome = write(world);
        world.conflicts += u32::from(outcome.is_err());
        outcome
    }
}

impl Cluster for Model {
    async fn published(&self) -> (Published, Option<Timestamp>, Option<Failure>) {
        self.pause().await;
        let world = &mut *self.0.borrow_mut();
        let lost = world.mishap().map(|_| world.dice.below(2));
        let configurations = [(0, Kind::Mutating), (1, Kind::Validating)].map(|(index, kind)| {
            let seen = match &world.configurations[usize::try_from(index).expect("small")] {
                _ if lost == Some(index) => Seen::Unreadable,
                None => Seen::Missing,
                Some((version, bundle)) => Seen::Found {
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
            world.tells_time.then_some(world.now),
            lost.map(|_| Failure::Deadline),
        )
    }

    async fn secret(&self) -> Result<Stored, Failure> {
        self.pause().await;
        let world = &mut *self.0.borrow_mut();
        if world.mishap().is_some() {
            return Err(Failure::Deadline);
        }
        Ok(match &world.secret {
            None => Stored {
                state: CaSecret::Absent,
                basis: None,
            },
            Some((version, state)) => Stored {
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

    async fn create(&self, succession: &Succession) -> Result<(), Failure> {
        self.write(|world| {
            if world.secret.is_some() {
                return Err(Failure::Conflict);
            }
            world.set_secret(Some(encode(succession)));
            Ok(())
        })
        .await
    }

    async fn update(&self, basis: &Stored, succession: &Succession) -> Result<(), Failure> {
        self.write(|world| {
            let based_on = basis
                .basis
                .as_ref()
                .and_then(|secret| secret.metadata.resource_version.clone());
            let Some((version, before)) = &world.secret else {
                return Err(Failure::Conflict);
            };
            if based_on != Some(version.to_string()) {
                return Err(Failure::Conflict);
            }
            if let CaSecret::Usable(Succession { next: Some(next), .. }) = before {
                world.promotions += u32::from(next.certificate() == succession.current.certificate());
            }
            world.set_secret(Some(encode(succession)));
            Ok(())
        })
        .await
    }

    async fn publish(&self, bundle: &Bundle, targets: &[Configuration]) -> Result<(), Failure> {
        let mut outcome = Ok(());
        for target in targets {
            let which = usize::from(target.kind == Kind::Validating);
            let Seen::Found { resource_version, .. } = &target.seen else {
                continue;
            };
            let written = self
                .write(|world| match &world.configurations[which] {
                    Some((version, _)) if version.to_string() == *resource_version => {
                        world.set_configuration(which, Some(bundle.to_pem()));
                        Ok(())
                    }
                    _ => Err(Failure::Conflict),
                })
                .await;
            outcome = outcome.and(written);
        }
        outcome
    }

    async fn report(&self, loss: &Loss, _now: Timestamp) {
        self.0.borrow_mut().reports.push(loss.clone());
    }
}

/// A replica, and whether it is running.
struct Replica {
    keeper: Keeper,
    /// Until when its machine is suspended.
    suspended: Timestamp,
    /// How far its clock is off.
    ahead: SignedDuration,
    /// Until when it may be refused, because its clock is or was off.
    astray: Option<Timestamp>,
    /// Whether it has looked with success since it started, woke up, or trust was destroyed.
    looked: bool,
    /// Counts the certificates that it has served.
    leaves: u64,
}

/// What people and machines do in a run.
#[derive(Clone, Copy, PartialEq)]
enum Mischief {
    /// Nothing out of the ordinary: restarts, requests that get lost.
    Ordinary,
    /// The Secret is lost, corrupted or replaced while all replicas run.
    Secret,
    /// All of it, trust destroyed included.
    All,
    /// The clock of one replica is off, by days or years, for days or weeks, and no API server says what time it is.
    Clock,
    /// The same, further ahead; API servers say what time it is, as they do.
    ToldClock,
    /// The Secret gets CAs that hold only in days or years, while one replica's clock is years ahead.
    Future,
}

/// How many days a clock is off at most. A CA that is made by one that is ahead is of the future: as long as what is served lives on, for
/// a third of seven days at least, nobody has to serve from it.
const BACK: i64 = 10 * 365;
const AHEAD: i64 = 2;
/// The same where API servers say what time it is.
const FAR_AHEAD: i64 = 10 * 365;

struct Simulation {
    model: Model,
    replicas: Vec<Replica>,
    policy: Policy,
    names: Vec<ServerName<'static>>,
    mischief: Mischief,
    /// Until when an API server may refuse; none while somebody has yet to look.
    excused: Option<Timestamp>,
    /// By replica, number of its leaf, and version of the bundle.
    verdicts: HashMap<(usize, u64, u64), bool>,
    accepted: u64,
    refused: u64,
    disturbances: u32,
}

impl Simulation {
    fn new(seed: u64, replicas: usize, mischief: Mischief) -> Self {
        let policy = Policy::default();
        let names = names().subject_alternative_names().expect("valid");
        let mut world = World {
            dice: Dice(seed),
            now: start(),
            version: 0,
            secret: None,
            configurations: [None, None],
            servers: vec![Server::default(), Server::default()],
            unreliable: true,
            tells_time: mischief != Mischief::Clock,
            changed: start(),
            reports: Vec::new(),
            promotions: 0,
            conflicts: 0,
        };
        world.set_configuration(0, Some(Vec::new()));
        world.set_configuration(1, Some(Vec::new()));
        let replica = |_| Replica {
            keeper: Keeper::new(names.clone(), policy.clone()),
            suspended: start(),
            ahead: SignedDuration::ZERO,
            astray: None,
            looked: false,
            leaves: 0,
        };
        Self {
            model: Model(RefCell::new(world)),
            replicas: (0..replicas).map(replica).collect(),
            policy: policy.clone(),
            names: names.clone(),
            mischief,
            excused: None,
            verdicts: HashMap::new(),
            accepted: 0,
            refused: 0,
            disturbances: 0,
        }
        .with_clocks()
    }

    fn with_clocks(mut self) -> Self {
        if self.mischief == Mischief::Future {
            self.replicas[0].ahead = SignedDuration::from_secs(FAR_AHEAD * DAY);
        }
        self
    }

    fn world(&mut self) -> &mut World {
        self.model.0.get_mut()
    }

    /// All that are awake look at the same time, their requests interleaved. Whether no look failed.
    async fn look(&mut self) -> bool {
        let now = self.world().now;
        let (model, mischief, settle) = (&self.model, self.mischief, self.policy.settle);
        let look = async |replica: Option<&mut Replica>| {
            let Some(replica) = replica.filter(|replica| replica.suspended <= now) else {
                return true;
            };
            let before = replica.keeper.leaf().map(|leaf| leaf.certificate().clone());
            let losses = model.0.borrow().reports.len();
            let (_, _, failure) = replica.keeper.work(model, now + replica.ahead).await;
            replica.looked |= failure.is_none();
            // Whoever begins with nothing to serve and nothing that could sign it cannot wait until what he makes is loaded.
            if mischief == Mischief::Future && before.is_none() && model.0.borrow().reports.len() > losses {
                replica.astray = Some(now + settle);
            }
            replica.leaves += u64::from(before.as_ref() != replica.keeper.leaf().map(Leaf::certificate));
            failure.is_none()
        };
        let mut each = self.replicas.iter_mut();
        let (one, two, three) = tokio::join!(look(each.next()), look(each.next()), look(each.next()));
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

    /// Asks every API server about every replica.
    fn check(&mut self, moment: &str) {
        let world = self.model.0.get_mut();
        let now = world.now;
        for server in &mut world.servers {
            server.load(now);
        }
        let replicas = self.replicas.iter_mut().enumerate();
        for (number, replica) in replicas.filter(|(_, replica)| replica.looked) {
            let leaf = replica.keeper.leaf().expect("served since the first look");
            let mut by_all = true;
            for bundle in world.servers.iter().flat_map(|server| server.loaded.iter().flatten()) {
                // Signatures do not depend on the time, so each pair is verified once, in the middle of the leaf's life.
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
                if signed && leaf.serving().validity.holds(now) && issuer.validity().holds(now) {
                    self.accepted += 1;
                } else if replica.astray.is_some_and(|until| now <= until) {
                    by_all = false;
                    self.refused += 1;
                } else {
                    assert!(
                        self.excused.is_none_or(|until| now <= until),
                        "{moment} {now} (excused {:?}): replica {number} is refused: serves from {issuer:?}, {:?}; loaded {:?}; Secret {:?}",
                        self.excused,
                        leaf.serving().validity,
                        Bundle::parse(bundle),
                        world.secret,
                    );
                    self.refused += 1;
                }
            }
            if by_all && replica.ahead.is_zero() {
                replica.astray = None;
            }
        }
    }

    /// What is published after all have looked with success and nobody has interfered since.
    fn check_published(&mut self) {
        let world = self.model.0.get_mut();
        let Some((_, CaSecret::Usable(succession))) = &world.secret else {
            return;
        };
        let wanted = succession.bundle(world.now);
        assert!(wanted.certificates().len() <= MOST_TRUSTED);
        for (_, published) in world.configurations.iter().flatten() {
            assert_eq!(Bundle::parse(published), wanted, "{}: what is published", world.now);
            assert_eq!(
                Bundle::parse(published).pruned(world.now),
                wanted,
                "{}: ended",
                world.now
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
        let now = self.world().now;
        let choice = self.world().dice.below(14);
        let which = usize::from(self.world().dice.one_in(2));
        match (self.mischief, choice) {
            (Mischief::Ordinary | Mischief::All | Mischief::Future, 0..4) => self.restart(),
            (Mischief::Ordinary | Mischief::All, 4..6) => {
                let days = 1 + self.world().dice.below(20);
                self.suspend_one(now + SignedDuration::from_secs(days * DAY));
            }
            (Mischief::All, 6) => {
                self.world().set_configuration(which, Some(Vec::new()));
                self.destroy_trust();
            }
            (Mischief::All, 7) => {
                let stranger = Authority::mint(now, &self.policy).expect("minted");
                let pem = [stranger.certificate_pem().as_bytes(), b"-----BEGIN nonsense"].concat();
                self.world().set_configuration(which, Some(pem));
                self.destroy_trust();
            }
            (Mischief::All, 8) => {
                // Deleted, or brought back as manifests have it.
                let back = self.world().configurations[which].is_none().then(Vec::new);
                let restored = back.is_some();
                self.world().set_configuration(which, back);
                if restored {
                    self.destroy_trust();
                }
            }
            (Mischief::All | Mischief::Secret, 9..12) => {
                self.break_secret();
                if self.mischief == Mischief::All {
                    self.destroy_trust();
                } else {
                    self.disturbances += 1;
                }
            }
            (Mischief::All, 12) if self.world().dice.one_in(8) => {
                // Everything stands still for longer than a CA lives.
                self.world().now = now + SignedDuration::from_secs(400 * DAY);
                self.destroy_trust();
            }
            (Mischief::Clock | Mischief::ToldClock, _) => self.jump(),
            (Mischief::Future, _) => self.bring_future(),
            _ => {}
        }
    }

    /// Puts the clock that is off right, or has one jump. Whoever it is may be refused meanwhile, and until a CA that it made holds;
    /// not so who is ahead and told.
    fn jump(&mut self) {
        self.disturbances += 1;
        let now = self.world().now;
        let told = self.world().tells_time;
        let (most, excused) = if told { (FAR_AHEAD, 1) } else { (AHEAD, AHEAD + 1) };
        if let Some(replica) = self.replicas.iter_mut().find(|replica| !replica.ahead.is_zero()) {
            if replica.astray.is_some() {
                replica.astray = Some(now + SignedDuration::from_secs(excused * DAY));
            }
            replica.ahead = SignedDuration::ZERO;
            return;
        }
        let which = self.any_replica();
        let dice = &mut self.world().dice;
        let ahead = 1 + match dice.below(4) {
            0 => -dice.below(BACK * DAY),
            1 => -dice.below(DAY),
            _ => dice.below(most * DAY),
        };
        self.replicas[which].ahead = SignedDuration::from_secs(ahead);
        if !told || ahead < 0 {
            self.replicas[which].astray = Some(Timestamp::MAX);
        }
    }

    /// As a replica leaves it that goes by a clock which is ahead, or a person who prepares.
    fn bring_future(&mut self) {
        let now = self.world().now;
        let dice = &mut self.world().dice;
        let days = 1 + if dice.one_in(2) {
            dice.below(30)
        } else {
            dice.below(FAR_AHEAD)
        };
        let kind = dice.below(3);
        let Some((_, CaSecret::Usable(held))) = self.world().secret.clone() else {
            return;
        };
        let future = Authority::mint(now + SignedDuration::from_secs(days * DAY), &self.policy).expect("minted");
        let brought = match kind {
            0 => Succession::new(future, None),
            1 => held.with_next(future).promoted(),
            _ => held.with_next(future),
        };
        self.world().set_secret(Some(encode(&brought)));
        self.disturbances += 1;
    }

    fn break_secret(&mut self) {
        let now = self.world().now;
        match self.world().dice.below(3) {
            0 => self.world().set_secret(None),
            1 => {
                let nonsense = ByteString(b"nonsense".to_vec());
                self.world()
                    .set_secret(Some(Data::from([("tls.crt".to_owned(), nonsense)])));
            }
            _ => {
                let life = SignedDuration::from_secs((30 + self.world().dice.below(700)) * DAY);
                let own = Policy {
                    ca_life: life,
                    ..self.policy.clone()
                };
                let brought = Authority::mint(now, &own).expect("minted");
                self.world().set_secret(Some(encode(&Succession::new(brought, None))));
            }
        }
    }

    fn restart(&mut self) {
        let which = self.any_replica();
        let keeper = Keeper::new(self.names.clone(), self.policy.clone());
        self.replicas[which].keeper = keeper;
        self.replicas[which].looked = false;
    }

    fn suspend_one(&mut self, until: Timestamp) {
        let which = self.any_replica();
        self.replicas[which].suspended = until;
        self.replicas[which].looked = false;
    }

    fn any_replica(&mut self) -> usize {
        let all = i64::try_from(self.replicas.len()).expect("few");
        usize::try_from(self.world().dice.below(all)).expect("not negative")
    }

    async fn run(&mut self) {
        let end = start() + SignedDuration::from_secs(YEARS * 365 * DAY);
        while self.world().now < end {
            self.check("before a look");
            let succeeded = self.look().await;
            self.check("after a look");
            // Who has ended is seen differently where a clock is off.
            let told = self.world().tells_time;
            let is_right = |replica: &Replica| replica.ahead.is_zero() || (told && replica.ahead.is_positive());
            let all_right = self.replicas.iter().all(is_right);
            if succeeded && all_right && self.replicas.iter().any(|replica| replica.looked) {
                self.check_published();
            }
            let now = self.world().now;
            let wakes = self
                .replicas
                .iter()
                .any(|replica| replica.suspended <= now && !replica.looked);
            let calm = !wakes && self.world().changed + SignedDuration::from_secs(3 * MINUTE) < now;
            let odds = if calm { 120 } else { 400 };
            // What is lost twice within a minute can find no room in the bundle; that is trust destroyed.
            let may = calm || self.mischief == Mischief::All;
            let interferes = may && self.world().dice.one_in(odds);
            if interferes {
                self.interfere();
            }
            let longest = if calm && !interferes { 12 * HOUR } else { 20 };
            let step = 1 + self.world().dice.below(longest);
            let later = self.world().now + SignedDuration::from_secs(step);
            self.world().now = later;
        }
    }
}

fn simulate(replicas: usize, mischief: Mischief) {
    let runs = std::env::var("CNBI_SIMULATIONS")
        .ok()
        .and_then(|runs| runs.parse().ok())
        .unwrap_or(1);
    for seed in 0..runs {
        let mut simulation = Simulation::new(seed, replicas, mischief);
        println!("seed {seed}, {replicas} replicas");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        runtime.block_on(simulation.run());
        let leaves: Vec<_> = simulation.replicas.iter().map(|replica| replica.leaves).collect();
        let Simulation {
            accepted,
            refused,
            disturbances,
            ..
        } = simulation;
        let World {
            promotions,
            conflicts,
            reports,
            version: writes,
            ..
        } = simulation.model.0.into_inner();
        println!(
            "accepted {accepted}, refused {refused}, disturbances {disturbances}, promotions {promotions}, writes {writes}, \
             conflicts {conflicts}, losses {}, leaves {leaves:?}",
            reports.len()
        );
        assert!(accepted > 20_000, "hardly anything was asked");
        assert!(
            leaves.iter().all(|leaves| *leaves > 300),
            "renewed too rarely: {leaves:?}"
        );
        match mischief {
            Mischief::Ordinary => {
                assert!(
                    (14..=16).contains(&promotions),
                    "a CA lives for two thirds of a year: {promotions}"
                );
                assert!(reports.is_empty(), "{reports:?}");
                assert!(refused < 500, "only before the first publication");
            }
            Mischief::Secret => assert!(disturbances > 10 && reports.len() > 5),
            Mischief::Clock => assert!(disturbances > 50 && refused > 0 && refused < accepted / 5),
            Mischief::ToldClock => {
                assert!(disturbances > 50 && refused > 0 && refused < accepted / 5);
                assert!(reports.is_empty(), "{reports:?}");
                assert!(
                    writes < 200,
                    "a rotation takes eight, and a clock that is off none: {writes}"
                );
            }
            Mischief::Future => {
                let early = reports.iter().filter(|loss| matches!(loss, Loss::Early(_))).count();
                assert!(disturbances > 50 && early > 10, "{disturbances}, {early}");
                assert_eq!(early, reports.len(), "{reports:?}");
                assert!(
                    early <= usize::try_from(disturbances).expect("few"),
                    "each is replaced once"
                );
                assert!(writes < 200 + 12 * u64::from(disturbances), "{writes} writes");
                assert!(refused < 500, "only before the first publication");
            }
            Mischief::All => assert!(disturbances > 20 && refused > 0 && refused < accepted / 20),
        }
        if replicas > 1 {
            assert!(conflicts > 0, "nobody ever came second");
        }
    }
}

macro_rules! simulations {
    ($($name:ident: $replicas:literal, $mischief:ident;)*) => {
        $(#[test]
        fn $name() {
            simulate($replicas, Mischief::$mischief);
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

//! The same again whenever something has changed: a view on a terminal, a line for each change elsewhere.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::pin;
use std::time::Duration;

use cnbi_shared::api::CustomNBImage;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::runtime::{WatchStreamExt as _, watcher};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::super::connection::{Connection, Problem};
use super::super::job::{self, Asked};
use super::super::screen::Screen;
use super::super::terminal::{self, Size, safe};
use super::super::{DONE, FOUND, UNUSABLE};
use super::render::render;
use super::words::Words;
use super::{StatusArgs, View, one, outcome, resources, table};

/// How often durations are brought up to date on a terminal.
const TICK: Duration = Duration::from_secs(2);

/// Follows what the arguments name.
pub async fn run(connection: &Connection, args: &StatusArgs) -> Result<u8, Problem> {
    let config = if let Some(name) = &args.name {
        // Somebody who mistypes a name wants to hear of it, and not to wait for ever.
        one(connection, name).await?;
        watcher::Config::default().fields(&format!("metadata.name={name}"))
    } else {
        super::all(connection, args.all_namespaces).await?;
        watcher::Config::default()
    };
    let events = watcher(resources(connection, args.all_namespaces), config).default_backoff();
    if terminal::can_redraw() {
        redraw(connection, args, events).await
    } else {
        append(args, events).await
    }
}

type Key = (String, String);

/// What is known of all resources that are watched.
#[derive(Default)]
struct Seen {
    known: BTreeMap<Key, CustomNBImage>,
    next: BTreeMap<Key, CustomNBImage>,
}

/// What an event means for one who watches.
enum Change {
    None,
    /// It is there, or is another one now.
    To(Box<CustomNBImage>),
    /// It is gone.
    Gone(Key),
    /// The whole was read anew.
    All,
}

fn key(resource: &CustomNBImage) -> Key {
    let metadata = &resource.metadata;
    (
        metadata.namespace.clone().unwrap_or_default(),
        metadata.name.clone().unwrap_or_default(),
    )
}

impl Seen {
    fn take(&mut self, event: watcher::Event<CustomNBImage>) -> Change {
        match event {
            watcher::Event::Init => {
                self.next.clear();
                Change::None
            }
            watcher::Event::InitApply(resource) => {
                self.next.insert(key(&resource), resource);
                Change::None
            }
            watcher::Event::InitDone => {
                self.known = std::mem::take(&mut self.next);
                Change::All
            }
            watcher::Event::Apply(resource) => {
                self.known.insert(key(&resource), resource.clone());
                Change::To(Box::new(resource))
            }
            watcher::Event::Delete(resource) => {
                let key = key(&resource);
                self.known.remove(&key);
                Change::Gone(key)
            }
        }
    }
}

type Events = Result<watcher::Event<CustomNBImage>, watcher::Error>;

/// A line for each change of what a line says.
async fn append(args: &StatusArgs, events: impl Stream<Item = Events>) -> Result<u8, Problem> {
    let mut events = pin!(events);
    let mut seen = Seen::default();
    let mut told: BTreeMap<Key, String> = BTreeMap::new();
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            Err(error) => {
                terminal::complain(&format!("the watch was interrupted: {error}"));
                continue;
            }
        };
        let changed: Vec<CustomNBImage> = match seen.take(event) {
            Change::None => continue,
            Change::To(resource) => vec![*resource],
            Change::All => seen.known.values().cloned().collect(),
            Change::Gone((namespace, name)) => {
                let is_read = terminal::print(&format!("{} {namespace}/{name} deleted\n", clock(Timestamp::now())));
                if args.name.is_some() || !is_read {
                    return Ok(FOUND);
                }
                continue;
            }
        };
        for resource in changed {
            let key = key(&resource);
            let line = line(&resource);
            if told.get(&key) != Some(&line) {
                if !terminal::print(&format!("{} {line}\n", clock(Timestamp::now()))) {
                    return Ok(DONE);
                }
                told.insert(key, line);
            }
            if args.name.is_some()
                && let Some(is_well) = outcome(&resource)
            {
                return Ok(if is_well { DONE } else { FOUND });
            }
        }
    }
    Ok(DONE)
}

fn clock(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// What one line says of a resource.
fn line(resource: &CustomNBImage) -> String {
    let (namespace, name) = key(resource);
    let words = Words::of(resource);
    let why = words.why.map(|why| format!(": {why}")).unwrap_or_default();
    format!("{}/{} {}{why}", safe(&namespace), safe(&name), words.state)
}

/// The view, until it ends by itself or somebody ends it.
async fn redraw(connection: &Connection, args: &StatusArgs, events: impl Stream<Item = Events>) -> Result<u8, Problem> {
    let screen = RefCell::default();
    let ended = tokio::select! {
        ended = follow(connection, args, events, &screen) => ended,
        status = job::ended() => Ok(Ended { status, told: String::new() }),
        never = make_room(&screen) => match never {},
    };
    screen.into_inner().close();
    ended.map(|Ended { status, told }| {
        terminal::print(&told);
        status
    })
}

/// Leaves the terminal to the shell whenever that asks for it.
async fn make_room(screen: &RefCell<Screen>) -> Infallible {
    let mut requests = job::Requests::listen();
    loop {
        match requests.next().await {
            Asked::ToStop if job::can_stop() => {
                screen.borrow_mut().suspend();
                job::stop();
            }
            Asked::ToStop => {}
            Asked::ToGoOn => screen.borrow_mut().resume(Size::of_stdout()),
        }
    }
}

/// How a view has ended.
struct Ended {
    /// The exit status.
    status: u8,
    /// What is said of it besides.
    told: String,
}

async fn follow(
    connection: &Connection,
    args: &StatusArgs,
    events: impl Stream<Item = Events>,
    screen: &RefCell<Screen>,
) -> Result<Ended, Problem> {
    let ended = |status| {
        Ok(Ended {
            status,
            told: String::new(),
        })
    };
    let mut events = pin!(events);
    let mut seen = Seen::default();
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut resized = signal(SignalKind::window_change()).ok();
    let mut is_known = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return ended(DONE),
                Some(Ok(event)) => match seen.take(event) {
                    Change::None => continue,
                    Change::Gone((namespace, name)) if args.name.is_some() => {
                        let told = format!("{}/{} was deleted\n", safe(&namespace), safe(&name));
                        return Ok(Ended { status: FOUND, told });
                    }
                    Change::To(_) | Change::All | Change::Gone(_) => is_known = true,
                },
                // It is tried again, and what is drawn stays.
                Some(Err(_)) => continue,
            },
            _ = tick.tick() => {}
            () = job::heard(&mut resized) => {}
        }
        if !is_known {
            continue;
        }
        let size = Size::of_stdout();
        let now = Timestamp::now();
        let mut over = None;
        let text = if args.name.is_some() {
            let Some(resource) = seen.known.values().next().cloned() else {
                continue;
            };
            over = outcome(&resource);
            render(&View::gather(&connection.client, resource).await, now, size)
        } else {
            let all: Vec<CustomNBImage> = seen.known.values().cloned().collect();
            table::render(&all, args.all_namespaces, now, size.width)
        };
        if !screen.borrow_mut().draw(text, size) {
            return ended(UNUSABLE);
        }
        if let Some(is_well) = over {
            return ended(if is_well { DONE } else { FOUND });
        }
    }
}

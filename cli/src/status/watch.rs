//! `status --watch`: redraws in place on a terminal, and prints one line per change elsewhere.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use cnbi_shared::api::CustomNBImage;
use futures::{Stream, StreamExt as _};
use jiff::Timestamp;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::reflector::{self, Store, reflector};
use kube::runtime::watcher::{self, Event, watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::render::render;
use super::summary::Summary;
use super::{StatusArgs, View, get, list, resources, succeeded, table};
use crate::connection::{CliError, Connection};
use crate::terminal::{self, LiveView, Size, sanitize};
use crate::{FAILURE, FINDINGS, SUCCESS};

/// How often ages and TaskRuns are updated on a terminal.
const REFRESH: Duration = Duration::from_secs(2);

type Events = Result<Event<CustomNBImage>, watcher::Error>;

/// Watches one resource until it is Ready or Failed, or all resources until the user interrupts.
pub async fn run(connection: &Connection, args: &StatusArgs) -> Result<u8, CliError> {
    // Reports a missing resource or kind at once: a watch would wait for it.
    let config = if let Some(name) = &args.name {
        get(connection, name).await?;
        watcher::Config::default().fields(&format!("metadata.name={name}"))
    } else {
        list(connection, args.all_namespaces).await?;
        watcher::Config::default()
    };
    let events = watcher(resources(connection, args.all_namespaces), config).default_backoff();
    if terminal::can_redraw() {
        let (store, writer) = reflector::store();
        redraw(connection, args, store, reflector(writer, events)).await
    } else {
        print_changes(args, events).await
    }
}

fn qualified_name(resource: &CustomNBImage) -> String {
    let part = |text: &Option<String>| sanitize(text.as_deref().unwrap_or_default());
    format!(
        "{}/{}",
        part(&resource.metadata.namespace),
        part(&resource.metadata.name)
    )
}

fn exit_status(succeeded: bool) -> u8 {
    if succeeded { SUCCESS } else { FINDINGS }
}

/// Prints a line whenever the state or the cause of a resource changes.
async fn print_changes(args: &StatusArgs, events: impl Stream<Item = Events>) -> Result<u8, CliError> {
    let mut events = pin!(events);
    let mut printed: BTreeMap<String, String> = BTreeMap::new();
    while let Some(event) = events.next().await {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        match event {
            Ok(Event::Init | Event::InitDone) => {}
            Ok(Event::Apply(resource) | Event::InitApply(resource)) => {
                let name = qualified_name(&resource);
                let summary = Summary::of(&resource);
                let why = summary.why.map(|why| format!(": {why}")).unwrap_or_default();
                let line = format!("{name} {}{why}", summary.state);
                if printed.get(&name) != Some(&line) {
                    if !terminal::print(&format!("{now} {line}\n")) {
                        return Ok(SUCCESS);
                    }
                    printed.insert(name, line);
                }
                if let (Some(_), Some(succeeded)) = (&args.name, succeeded(&resource)) {
                    return Ok(exit_status(succeeded));
                }
            }
            Ok(Event::Delete(resource)) => {
                let is_open = terminal::print(&format!("{now} {} deleted\n", qualified_name(&resource)));
                if args.name.is_some() || !is_open {
                    return Ok(FINDINGS);
                }
            }
            Err(error) => terminal::print_error(&format!("watch interrupted, retrying: {error}")),
        }
    }
    Ok(SUCCESS)
}

/// Draws the status after each change, after a change of the window's size, and periodically.
async fn redraw(
    connection: &Connection,
    args: &StatusArgs,
    store: Store<CustomNBImage>,
    events: impl Stream<Item = Events>,
) -> Result<u8, CliError> {
    let mut events = pin!(events);
    let mut refresh = interval(REFRESH);
    refresh.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut window_change = signal(SignalKind::window_change()).ok();
    let mut view = LiveView::default();
    let mut is_synced = false;
    let mut is_resized = false;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Delete(resource))) if args.name.is_some() => {
                    view.finish(&format!("{} was deleted\n", qualified_name(&resource)));
                    return Ok(FINDINGS);
                }
                Some(Ok(Event::InitDone | Event::Apply(_) | Event::Delete(_))) => is_synced = true,
                // The watcher retries after errors; the view stays.
                Some(Ok(Event::Init | Event::InitApply(_)) | Err(_)) => continue,
                None => return Ok(SUCCESS),
            },
            _ = refresh.tick() => {}
            () = received(&mut window_change) => is_resized = true,
        }
        if !is_synced {
            continue;
        }
        let size = Size::of_stdout();
        let now = Timestamp::now();
        let mut resources: Vec<Arc<CustomNBImage>> = store.state();
        let text = if args.name.is_some() {
            let Some(resource) = resources.pop() else { continue };
            let resource = CustomNBImage::clone(&resource);
            let succeeded = succeeded(&resource);
            let text = render(&View::gather(&connection.client, resource).await, now, size);
            if let Some(succeeded) = succeeded {
                return Ok(if view.finish(&text) {
                    exit_status(succeeded)
                } else {
                    FAILURE
                });
            }
            text
        } else {
            resources.sort_by(|a, b| {
                (&a.metadata.namespace, &a.metadata.name).cmp(&(&b.metadata.namespace, &b.metadata.name))
            });
            let resources: Vec<CustomNBImage> = resources.iter().map(|one| CustomNBImage::clone(one)).collect();
            table::render(&resources, args.all_namespaces, now, Some(size.width))
        };
        if !view.draw(&text, size, std::mem::take(&mut is_resized)) {
            return Ok(FAILURE);
        }
    }
}

/// Waits for a signal; forever if it cannot be received.
async fn received(signal: &mut Option<Signal>) {
    if let Some(signal) = signal
        && signal.recv().await.is_some()
    {
        return;
    }
    pending::<()>().await;
}

//! Kubernetes Events, written for people.
//!
//! kube's [`Recorder`] remembers each Event for six minutes, so that one that is repeated becomes a series; for each it
//! looks through all of them. Thousands of resources that are built together would then cost six KiB each, and a time that
//! grows with the square of their number. So ours starts anew after a while.

use std::sync::{Mutex, PoisonError};

use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};

use k8s_openapi::api::core::v1::ObjectReference;

/// How many Events one recorder is given. What repeats itself does so within a few others.
const KEPT: usize = 25;

/// Writes Events.
pub struct Events {
    client: Client,
    /// And how many Events it was given.
    recorder: Mutex<(Recorder, usize)>,
}

impl Events {
    /// With the rights of that client.
    pub fn new(client: Client) -> Self {
        Self {
            recorder: Mutex::new((recorder(client.clone()), 0)),
            client,
        }
    }

    /// Writes an Event about an object.
    pub async fn publish(&self, event: &Event, about: &ObjectReference) -> Result<(), kube::Error> {
        self.recorder().publish(event, about).await
    }

    fn recorder(&self) -> Recorder {
        let mut held = self.recorder.lock().unwrap_or_else(PoisonError::into_inner);
        if held.1 == KEPT {
            *held = (recorder(self.client.clone()), 0);
        }
        held.1 += 1;
        held.0.clone()
    }
}

fn recorder(client: Client) -> Recorder {
    let reporter = Reporter {
        controller: "cnbi-controller".to_owned(),
        instance: None,
    };
    Recorder::new(client, reporter)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{Method, Request, Response};
    use kube::client::Body;
    use kube::runtime::events::EventType;

    use super::*;

    #[tokio::test]
    async fn what_is_repeated_is_a_series_and_not_all_is_remembered() {
        let asked: Arc<Mutex<Vec<Method>>> = Arc::default();
        let seen = Arc::clone(&asked);
        let client = Client::new(
            tower::service_fn(move |request: Request<Body>| {
                seen.lock().unwrap().push(request.method().clone());
                async { Ok::<_, std::convert::Infallible>(Response::new(Body::from(br#"{"metadata":{}}"#.to_vec()))) }
            }),
            "default",
        );
        let events = Events::new(client);
        let tell = async |name: String| {
            let event = Event {
                type_: EventType::Normal,
                reason: "Ready".to_owned(),
                note: None,
                action: "Build".to_owned(),
                secondary: None,
            };
            let about = ObjectReference {
                name: Some(name),
                ..ObjectReference::default()
            };
            events.publish(&event, &about).await.unwrap();
            asked.lock().unwrap().pop().unwrap()
        };
        assert_eq!(tell("a".to_owned()).await, Method::POST);
        assert_eq!(tell("a".to_owned()).await, Method::PATCH);
        for index in 2..KEPT {
            assert_eq!(tell(format!("other-{index}")).await, Method::POST);
        }
        assert_eq!(tell("a".to_owned()).await, Method::POST, "forgotten by now");
    }
}

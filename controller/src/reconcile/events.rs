//! Kubernetes Events.
//!
//! kube's [`Recorder`] keeps each Event for six minutes to merge repeated ones into a series, and searches all of them for each new
//! one. With thousands of resources that costs 6 KiB each and quadratic time, so the recorder is replaced regularly.

use std::sync::{Mutex, PoisonError};

use kube::Client;
use kube::runtime::events::{Event, Recorder, Reporter};

use k8s_openapi::api::core::v1::ObjectReference;

/// Number of Events per recorder. Repeated Events are usually close to each other.
const EVENTS_PER_RECORDER: usize = 25;

/// Writes Events.
pub struct Events {
    client: Client,
    /// With the number of Events that it has published.
    recorder: Mutex<(Recorder, usize)>,
}

impl Events {
    /// Uses the permissions of the client.
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
        if held.1 == EVENTS_PER_RECORDER {
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
    async fn repeated_events_form_a_series_until_the_recorder_is_replaced() {
        let requests: Arc<Mutex<Vec<Method>>> = Arc::default();
        let log = Arc::clone(&requests);
        let client = Client::new(
            tower::service_fn(move |request: Request<Body>| {
                log.lock().unwrap().push(request.method().clone());
                async { Ok::<_, std::convert::Infallible>(Response::new(Body::from(br#"{"metadata":{}}"#.to_vec()))) }
            }),
            "default",
        );
        let events = Events::new(client);
        let publish = async |name: String| {
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
            requests.lock().unwrap().pop().unwrap()
        };
        assert_eq!(publish("a".to_owned()).await, Method::POST);
        assert_eq!(publish("a".to_owned()).await, Method::PATCH);
        for index in 2..EVENTS_PER_RECORDER {
            assert_eq!(publish(format!("other-{index}")).await, Method::POST);
        }
        assert_eq!(publish("a".to_owned()).await, Method::POST, "the recorder was replaced");
    }
}

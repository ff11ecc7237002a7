//! What is kept in step beside the run: copies of the pull Secret, and the ImageStream's display annotations.

use cnbi_shared::api::status::Phase;
use cnbi_shared::contract::ConditionType;

use super::Next;
use crate::plan::action::{Action, Place};
use crate::plan::blockers::pulled_image;
use crate::plan::manifest::{labels, run_copy_name, target_copy_name};
use crate::plan::observed::{Run, Stream};
use crate::plan::request::Build;

impl Next<'_> {
    /// Brings the copies of the pull Secret in step: one for the run under way, and one where OpenShift imports.
    pub(super) fn copies(&mut self) {
        let observed = self.observed;
        let mut wanted = Vec::new();
        if let (Some(_), Ok(Some(image))) = (&self.request.pull_secret, pulled_image(self.request, self.config)) {
            let namespace = self.config.pipelines.namespace_of_runs(&observed.namespace);
            if let Some(run) = &self.copy_for
                && namespace != observed.namespace
            {
                wanted.push((Place::new(namespace, &run_copy_name(run)), image.clone()));
            }
            let is_import = matches!(self.request.build, Build::Import { .. });
            if is_import && self.config.pull_secrets.copy_to_target && self.target != observed.namespace {
                let name = target_copy_name(&observed.name, &observed.uid);
                wanted.push((Place::new(&self.target, &name), image));
            }
        }
        let copied = |place: &Place| {
            observed
                .copies
                .iter()
                .find(|copy| copy.namespace == place.namespace && copy.name == place.name)
        };
        for (place, image) in &wanted {
            let is_in_step = copied(place)
                .is_some_and(|copy| observed.secret_version.is_none() || copy.version == observed.secret_version);
            let is_usable = self
                .board
                .said(ConditionType::PullSecretReady)
                .is_some_and(|word| word.status == "True")
                && observed.secret_version.is_some();
            let action = Action::CopySecret {
                from: Place::new(
                    &observed.namespace,
                    self.request.pull_secret.as_deref().unwrap_or_default(),
                ),
                to: place.clone(),
                image: image.clone(),
                labels: labels(observed),
            };
            if !is_in_step && is_usable && !self.actions.contains(&action) {
                self.actions.push(action);
            }
        }
        for copy in &observed.copies {
            let place = Place::new(&copy.namespace, &copy.name);
            let action = Action::DeleteSecret(place.clone());
            if !wanted.iter().any(|(wanted, _)| *wanted == place) && !self.actions.contains(&action) {
                self.actions.push(action);
            }
        }
    }

    /// Keeps the display annotations in step, but not under the hands of a run that writes them itself.
    pub(super) fn annotate(&mut self, current: Option<&Run>) {
        let Stream::Ours { uid, display, .. } = &self.observed.stream else {
            return;
        };
        let is_free = match current {
            Some(run) => run.has_ended(),
            None => self.status.phase == Some(Phase::Ready),
        };
        if !is_free {
            return;
        }
        let there = display.pairs();
        let wanted = self.request.display.pairs();
        let annotations = wanted
            .into_iter()
            .zip(there)
            .filter(|(wanted, there)| wanted.1 != there.1)
            .map(|((key, text), _)| (key.to_owned(), text.map(str::to_owned)))
            .collect::<std::collections::BTreeMap<_, _>>();
        if !annotations.is_empty() {
            self.actions.push(Action::PatchStreamAnnotations {
                place: Place::new(&self.target, &self.observed.name),
                uid: uid.clone(),
                annotations,
            });
        }
    }
}

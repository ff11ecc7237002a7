//! Keeps the copies of the pull secret and the display annotations of the ImageStream up to date.

use cnbi_shared::api::status::Phase;
use cnbi_shared::contract::ConditionType;

use super::Planner;
use crate::plan::action::{Action, NamespacedName};
use crate::plan::blockers::pulled_image;
use crate::plan::manifest::{labels, run_copy_name, target_copy_name};
use crate::plan::observed::{ImageStreamState, Run};
use crate::plan::request::Build;

impl Planner<'_> {
    /// Updates the copies of the pull secret: one for the active run, and one in the target namespace for imports by OpenShift.
    pub(super) fn sync_secret_copies(&mut self) {
        let observed = self.observed;
        let mut wanted = Vec::new();
        if let (Some(_), Ok(Some(image))) = (&self.request.pull_secret, pulled_image(self.request, self.config)) {
            let namespace = self.config.pipelines.run_namespace_for(&observed.namespace);
            if let Some(run) = &self.copy_for
                && namespace != observed.namespace
            {
                wanted.push((NamespacedName::new(namespace, &run_copy_name(run)), image.clone()));
            }
            let is_import = matches!(self.request.build, Build::Import { .. });
            if is_import && self.config.pull_secrets.copy_to_target && self.target != observed.namespace {
                let name = target_copy_name(&observed.name, &observed.uid);
                wanted.push((NamespacedName::new(&self.target, &name), image));
            }
        }
        let copied = |key: &NamespacedName| {
            observed
                .copies
                .iter()
                .find(|copy| copy.namespace == key.namespace && copy.name == key.name)
        };
        for (key, image) in &wanted {
            let is_up_to_date = copied(key)
                .is_some_and(|copy| observed.secret_version.is_none() || copy.version == observed.secret_version);
            let is_usable = self
                .conditions
                .get(ConditionType::PullSecretReady)
                .is_some_and(|value| value.status == "True")
                && observed.secret_version.is_some();
            let action = Action::CopySecret {
                from: NamespacedName::new(
                    &observed.namespace,
                    self.request.pull_secret.as_deref().unwrap_or_default(),
                ),
                to: key.clone(),
                image: image.clone(),
                labels: labels(observed),
            };
            if !is_up_to_date && is_usable && !self.actions.contains(&action) {
                self.actions.push(action);
            }
        }
        for copy in &observed.copies {
            let key = NamespacedName::new(&copy.namespace, &copy.name);
            let action = Action::DeleteSecret(key.clone());
            if !wanted.iter().any(|(wanted, _)| *wanted == key) && !self.actions.contains(&action) {
                self.actions.push(action);
            }
        }
    }

    /// Updates the display annotations. An active run writes them itself.
    pub(super) fn sync_annotations(&mut self, current: Option<&Run>) {
        let ImageStreamState::Owned { uid, display, .. } = &self.observed.stream else {
            return;
        };
        let is_writable = match current {
            Some(run) => run.has_ended(),
            None => self.status.phase == Some(Phase::Ready),
        };
        if !is_writable {
            return;
        }
        let current_pairs = display.pairs();
        let wanted = self.request.display.pairs();
        let annotations = wanted
            .into_iter()
            .zip(current_pairs)
            .filter(|(wanted, current_pairs)| wanted.1 != current_pairs.1)
            .map(|((key, text), _)| (key.to_owned(), text.map(str::to_owned)))
            .collect::<std::collections::BTreeMap<_, _>>();
        if !annotations.is_empty() {
            self.actions.push(Action::PatchStreamAnnotations {
                key: NamespacedName::new(&self.target, &self.observed.name),
                uid: uid.clone(),
                annotations,
            });
        }
    }
}

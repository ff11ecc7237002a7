//! What this project ships, for [`Installation::install`](super::Installation::install).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Options;

/// The container of the webhook.
pub const WEBHOOK: &str = "cnbi-webhook";

/// The container of the controller.
pub const CONTROLLER: &str = "cnbi-controller";

/// `deploy/overlays/default`, as it is or under a name of its own beside others on one control plane.
pub fn default(name: Option<&str>) -> Options {
    let names = [
        ("--mutating-configuration", "MutatingWebhookConfiguration"),
        ("--validating-configuration", "ValidatingWebhookConfiguration"),
    ];
    Options {
        tree: deploy(),
        overlay: PathBuf::from("overlays/default"),
        name: name.map(str::to_owned),
        names: names.map(|(flag, kind)| (flag.to_owned(), kind.to_owned())).into(),
        flags: BTreeMap::new(),
        programs: BTreeMap::new(),
    }
}

/// The folder that holds everything an administrator applies.
pub fn deploy() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).join("deploy")
}

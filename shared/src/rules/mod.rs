//! The rules: one table of values, one function that applies them all.
//!
//! A rule is a file here with its page of examples beside it: `<slug>.rs` and `<slug>.md`. To add one, write the pair
//! and put it into [`RULES`]; every check of the table, the generated reference and the tests on a real API server
//! then hold for it too.

mod context;
pub mod examples;
mod git_host;
mod judge;
mod parsed;
mod ratchet;
mod secrecy;

use std::fmt;

use crate::verdict::{Cause, Level};

pub use context::{Context, Findings};
pub use git_host::git_credential;
pub use judge::{ValidatedImage, accept, evaluate};
pub use parsed::{Image, Package, Repository};
pub(crate) use secrecy::may_hold_secret;
pub(crate) use size::exceeds;

/// Something that can be wrong with a resource.
pub struct Rule {
    /// Stable id, `CNB` and three digits. Never used for anything else again.
    pub id: &'static str,
    /// Short name in words.
    pub slug: &'static str,
    /// What the rule asks for, on one line.
    pub title: &'static str,
    /// The strictest level that a finding has unless the configuration says otherwise.
    pub level: Level,
    /// No configuration can relax it, because nothing sensible could be built from a resource that breaks it.
    pub is_fixed: bool,
    /// A finding means that the user may not, rather than that the content is wrong.
    pub is_about_permission: bool,
    /// Why its findings are findings, in Kubernetes' words for causes.
    pub cause: Cause,
    /// The page of documentation whose examples are tests; see [`examples`].
    pub doc: &'static str,
    /// Looks at one object.
    pub check: fn(&Context<'_>, &mut Findings<'_>),
}

impl fmt::Debug for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.id)
    }
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

/// Declares a rule with the parts that most rules share; a rule names only what is special about it.
const fn rule(
    id: &'static str,
    slug: &'static str,
    title: &'static str,
    doc: &'static str,
    check: fn(&Context<'_>, &mut Findings<'_>),
) -> Rule {
    Rule {
        id,
        slug,
        title,
        level: Level::Deny,
        is_fixed: false,
        is_about_permission: false,
        cause: Cause::Invalid,
        doc,
        check,
    }
}

impl Rule {
    const fn fixed(mut self) -> Self {
        self.is_fixed = true;
        self
    }

    const fn warn(mut self) -> Self {
        self.level = Level::Warn;
        self
    }

    const fn about_permission(mut self) -> Self {
        self.is_about_permission = true;
        self
    }

    const fn cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }
}

/// Lists the modules of the rules and makes the table of them.
macro_rules! table {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+

        /// Every rule, in the order of ids.
        pub static RULES: &[&Rule] = &[$(&$module::RULE),+];
    };
}

table! {
    unreadable,
    foreign_field,
    immutable_field,
    image_stream_name,
    image_stream_taken,
    size,
    display_name,
    description,
    creator,
    target_namespace_name,
    target_namespace_allowed,
    target_namespace_access,
    target_namespace_exists,
    from_image_required,
    image_reference,
    image_tagged,
    image_latest,
    image_qualified,
    image_registry_allowed,
    pull_secret_exists,
    pull_secret_type,
    pull_secret_registry,
    pull_secret_name,
    pull_secret_unused,
    pull_secret_in_target,
    package_versions_required,
    package_requirement,
    package_option,
    package_duplicate,
    package_direct_reference,
    package_unsatisfiable,
    package_python_marker,
    environment_or_builder,
    runtime_environment_complete,
    runtime_environment_supported,
    repository_url_required,
    repository_url,
    repository_url_credentials,
    git_ref,
    repository_credentials,
    repository_allowed,
}

/// The rule with that id.
pub fn by_id(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

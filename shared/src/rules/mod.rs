//! The validation rules: one table of values, and a function that evaluates them.
//!
//! A rule is a pair of files, `<slug>.rs` and its page with examples `<slug>.md`. To add a rule, write both files and add the module to the
//! table. The tests of the table, the generated reference and the tests with a real API server then include it.

mod context;
mod evaluate;
pub mod examples;
mod git_host;
mod parsed;
mod ratchet;
mod secret_detection;

use std::fmt;

use crate::verdict::{Cause, Level};

pub use context::{Context, Findings};
pub use evaluate::{ValidatedImage, evaluate, validate};
pub use git_host::git_credential;
pub use parsed::{Image, Package, Repository};
pub(crate) use secret_detection::may_hold_secret;
pub(crate) use size::exceeds;

/// A validation rule.
pub struct Rule {
    /// Stable id: `CNB` and three digits. Ids are never reused.
    pub id: &'static str,
    /// Short name.
    pub slug: &'static str,
    /// The requirement, on one line.
    pub title: &'static str,
    /// The default level.
    pub level: Level,
    /// Whether the level is fixed, because a resource that breaks the rule cannot be built.
    pub is_fixed: bool,
    /// Whether a finding means missing permissions, and not invalid content.
    pub is_about_permission: bool,
    /// The cause of its findings.
    pub cause: Cause,
    /// The documentation page, whose examples are tests; see [`examples`].
    pub doc: &'static str,
    /// Checks one object.
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

/// Creates a rule with the most common values.
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

/// Declares the modules of the rules and the table.
macro_rules! table {
    ($($module:ident),+ $(,)?) => {
        $(mod $module;)+

        /// Every rule, in the order of ids.
        pub static RULES: &[&Rule] = &[$(&$module::RULE),+];
    };
}

table! {
    field_types,
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

/// The rule with this id.
pub fn by_id(id: &str) -> Option<&'static Rule> {
    RULES.iter().copied().find(|rule| rule.id == id)
}

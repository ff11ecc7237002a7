//! The default builder image for repositories.

use super::Config;

impl Config {
    /// The builder image for repositories that do not name one: `repositories.builderImage`, or the catalog entry with the newest Python.
    /// `None`: neither is configured.
    pub fn repository_builder(&self) -> Option<&str> {
        if !self.repositories.builder_image.is_empty() {
            return Some(&self.repositories.builder_image);
        }
        let newest = self
            .runtime_environments
            .iter()
            // `max_by_key` returns the last maximum; the first entry must win.
            .rev()
            .max_by_key(|entry| numbers(&entry.python_version));
        newest.map(|entry| entry.builder_image.as_str())
    }
}

/// The numbers of a version for comparison. A part that is not a number sorts first.
fn numbers(version: &str) -> Vec<Option<u32>> {
    version.split('.').map(|part| part.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_python_is_the_default_builder() {
        let config = |more: &str| {
            let entry = |python: &str, image: &str| {
                format!(
                    "{{osName: ubi, osVersion: '9', pythonVersion: '{python}', builderImage: 'quay.io/a/{image}:v1'}}"
                )
            };
            let catalog = [entry("3.9", "old"), entry("3.11", "new"), entry("latest", "odd")].join(", ");
            Config::from_yaml(&format!("{{runtimeEnvironments: [{catalog}]{more}}}")).unwrap()
        };
        assert_eq!(config("").repository_builder(), Some("quay.io/a/new:v1"));
        let named = config(", repositories: {builderImage: 'quay.io/a/own:v2'}");
        assert_eq!(named.repository_builder(), Some("quay.io/a/own:v2"));
        assert_eq!(Config::default().repository_builder(), None);
        assert!(Config::shipped().repository_builder().unwrap().contains("python-3.11"));
    }

    #[test]
    fn the_first_of_two_equal_versions_wins() {
        let config = Config::from_yaml(
            "runtimeEnvironments: [{osName: ubi, osVersion: '9', pythonVersion: '3.11', builderImage: 'quay.io/a/b:v1'}, \
             {osName: ubi, osVersion: '8', pythonVersion: '3.11', builderImage: 'quay.io/a/c:v1'}]",
        );
        assert_eq!(config.unwrap().repository_builder(), Some("quay.io/a/b:v1"));
    }
}

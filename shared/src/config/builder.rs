//! Which image repositories are built on that say nothing of one.

use super::Config;

impl Config {
    /// The image that repositories are built on which say nothing of it. `None`: nothing is configured that could be one.
    pub fn repository_builder(&self) -> Option<&str> {
        if !self.repositories.builder_image.is_empty() {
            return Some(&self.repositories.builder_image);
        }
        let newest = self
            .runtime_environments
            .iter()
            // Of those that are as new, the last one would be taken.
            .rev()
            .max_by_key(|entry| numbers(&entry.python_version));
        newest.map(|entry| entry.builder_image.as_str())
    }
}

/// The numbers of a version, to compare. What is no number counts as the lowest.
fn numbers(version: &str) -> Vec<Option<u32>> {
    version.split('.').map(|part| part.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_built_on_the_newest_python_unless_an_image_is_named() {
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
    fn of_two_environments_as_new_the_first_counts() {
        let config = Config::from_yaml(
            "runtimeEnvironments: [{osName: ubi, osVersion: '9', pythonVersion: '3.11', builderImage: 'quay.io/a/b:v1'}, \
             {osName: ubi, osVersion: '8', pythonVersion: '3.11', builderImage: 'quay.io/a/c:v1'}]",
        );
        assert_eq!(config.unwrap().repository_builder(), Some("quay.io/a/b:v1"));
    }
}

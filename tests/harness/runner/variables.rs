//! Replaces Tekton's variables `$(...)`. Like Tekton, it does not expand the values again. No I/O.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

/// Names, such as `params.tag`, and values.
#[derive(Clone, Debug, Default)]
pub(super) struct Variables(BTreeMap<String, Held>);

#[derive(Clone, Debug)]
enum Held {
    Text(String),
    List(Vec<String>),
}

impl Variables {
    /// Adds a string.
    pub(super) fn set(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.0.insert(name.into(), Held::Text(value.into()));
    }

    /// Adds a parameter with its value from a manifest: a string or an array.
    pub(super) fn set_param(&mut self, name: &str, value: &Value) -> Result<()> {
        let held = match value {
            Value::String(text) => Held::Text(text.clone()),
            Value::Array(items) => Held::List(items.iter().map(text).collect::<Result<_>>()?),
            other => bail!("parameter {name} is neither a string nor an array: {other}"),
        };
        self.0.insert(format!("params.{name}"), held);
        Ok(())
    }

    /// A string with its variables replaced. As in Tekton, an unknown variable is an error.
    pub(super) fn fill(&self, template: &str) -> Result<String> {
        let mut filled = String::new();
        let mut rest = template;
        while let Some((before, after)) = rest.split_once("$(") {
            let (name, after) = after
                .split_once(')')
                .with_context(|| format!("{template:?} has a $( that nothing closes"))?;
            match self.0.get(name) {
                Some(Held::Text(text)) => {
                    filled.push_str(before);
                    filled.push_str(text);
                }
                Some(Held::List(_)) => bail!("{template:?} takes the list {name} for a text"),
                None => bail!("{template:?} names {name}, which has no value"),
            }
            rest = after;
        }
        filled.push_str(rest);
        Ok(filled)
    }

    /// An array with its variables replaced. An item `$(name[*])` becomes all items of that array.
    pub(super) fn fill_list(&self, templates: &Value) -> Result<Vec<String>> {
        let mut filled = Vec::new();
        for template in templates.as_array().into_iter().flatten() {
            let template = text(template)?;
            let whole = template.strip_prefix("$(").and_then(|rest| rest.strip_suffix("[*])"));
            if let Some(name) = whole {
                match self.0.get(name) {
                    Some(Held::List(items)) => filled.extend_from_slice(items),
                    _ => bail!("{template:?} names {name}, which is no list"),
                }
            } else {
                filled.push(self.fill(&template)?);
            }
        }
        Ok(filled)
    }

    /// The value of a parameter, with variables replaced.
    pub(super) fn fill_value(&self, template: &Value) -> Result<Value> {
        match template {
            Value::String(template) => Ok(self.fill(template)?.into()),
            Value::Array(_) => Ok(self.fill_list(template)?.into()),
            other => bail!("{other} is neither a string nor an array"),
        }
    }

    /// An argument of a container. The kubelet expands `$(...)` again, so none may be left.
    pub(super) fn arguments(&self, templates: &Value) -> Result<Vec<String>> {
        let arguments = self.fill_list(templates)?;
        for argument in &arguments {
            ensure!(!argument.contains("$("), "the kubelet would expand {argument:?}");
        }
        Ok(arguments)
    }
}

fn text(value: &Value) -> Result<String> {
    let text = value.as_str().with_context(|| format!("{value} is not a string"))?;
    Ok(text.to_owned())
}

/// The tasks whose results a template uses.
pub(super) fn tasks_named(template: &Value) -> Vec<String> {
    let text = template.to_string();
    text.match_indices("$(tasks.")
        .filter_map(|(at, opened)| text[at + opened.len()..].split_once('.'))
        .map(|(task, _)| task.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn variables() -> Variables {
        let mut variables = Variables::default();
        variables.set_param("tag", &json!("v1")).unwrap();
        variables.set_param("request", &json!(["a", "b c"])).unwrap();
        variables.set("tasks.fetch.results.commit", "$(params.tag)");
        variables.set("workspaces.ca.path", "");
        variables
    }

    #[test]
    fn each_is_replaced_once() {
        let filled = variables()
            .fill("--a=$(params.tag)/$(tasks.fetch.results.commit)")
            .unwrap();
        assert_eq!(filled, "--a=v1/$(params.tag)");
        assert_eq!(variables().fill("--ca=$(workspaces.ca.path)").unwrap(), "--ca=");
    }

    #[test]
    fn a_list_becomes_several_arguments() {
        let filled = variables().arguments(&json!(["--request", "$(params.request[*])", "--x=$(params.tag)"]));
        assert_eq!(filled.unwrap(), ["--request", "a", "b c", "--x=v1"]);
    }

    #[test]
    fn what_tekton_or_the_kubelet_would_stumble_over_is_told() {
        for (template, told) in [
            ("$(params.nosuch)", "which has no value"),
            ("$(params.request)", "takes the list"),
            ("x$(params.request[*])", "which has no value"),
            ("$(params.tag", "nothing closes"),
            ("$(params.tag[*])", "which is no list"),
            ("$(tasks.fetch.results.commit)", "the kubelet would expand"),
        ] {
            let error = variables().arguments(&json!([template])).unwrap_err().to_string();
            assert!(error.contains(told), "{template}: {error}");
        }
    }
}

//! A value as somebody wrote it: absent, of the expected type, or of another one.
//!
//! Reading must never stop at the first wrong type, or a user would learn of one mistake at a time. So every field that
//! a user can set is a [`Field`], and rule CNB000 reports the wrong ones beside whatever else is wrong.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// One value of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Field<T> {
    /// The key is not there.
    #[default]
    Absent,
    /// A value of the expected type.
    Set(T),
    /// A value of another type.
    Wrong(Found),
}

/// The JSON type that was found where another one belongs, with the text of a scalar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Found {
    /// `null`, in YAML also a key with nothing behind it.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as it would be printed.
    Number(String),
    /// A string.
    String(String),
    /// A list.
    List,
    /// An object.
    Object,
}

impl Found {
    /// The type's name, as JSON schema has it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "boolean",
            Self::Number(_) => "number",
            Self::String(_) => "string",
            Self::List => "array",
            Self::Object => "object",
        }
    }
}

impl<T> Field<T> {
    /// The value, when it is there and of the expected type.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Absent | Self::Wrong(_) => None,
        }
    }

    /// The key is not there at all.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// What was found instead of the expected type.
    pub fn wrong(&self) -> Option<&Found> {
        match self {
            Self::Wrong(found) => Some(found),
            Self::Absent | Self::Set(_) => None,
        }
    }
}

impl Field<String> {
    /// The text, when it is there and is text.
    pub fn text(&self) -> Option<&str> {
        self.value().map(String::as_str)
    }
}

impl<T> From<T> for Field<T> {
    fn from(value: T) -> Self {
        Self::Set(value)
    }
}

/// A type that can stand in a [`Field`]. Each method answers "is this what was expected?" and must use up what it is given.
pub trait Expected<'de>: Sized {
    /// Name of the expected JSON type.
    const TYPE: &'static str;

    /// A string was found.
    fn from_text(text: String) -> Result<Self, Found> {
        Err(Found::String(text))
    }

    /// A list was found.
    fn from_list<A: SeqAccess<'de>>(mut list: A) -> Result<Field<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong(Found::List))
    }

    /// An object was found.
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Field<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::Wrong(Found::Object))
    }
}

impl Expected<'_> for String {
    const TYPE: &'static str = "string";

    fn from_text(text: String) -> Result<Self, Found> {
        Ok(text)
    }
}

/// Makes a struct with named fields an [`Expected`] object.
macro_rules! expected_object {
    ($type:ty) => {
        impl<'de> $crate::api::field::Expected<'de> for $type {
            const TYPE: &'static str = "object";

            fn from_object<A: serde::de::MapAccess<'de>>(
                object: A,
            ) -> Result<$crate::api::field::Field<Self>, A::Error> {
                serde::Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(object))
                    .map($crate::api::field::Field::Set)
            }
        }
    };
}
pub(crate) use expected_object;

impl<'de, T: Expected<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: Expected<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::TYPE)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Wrong(Found::Null))
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Field::Wrong(Found::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Field::Wrong(Found::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Field::Wrong(Found::Number(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Field::Wrong(Found::Number(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Field::Wrong(Found::Number(value.to_string())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(text.to_owned()).map_or_else(Field::Wrong, Field::Set))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(T::from_text(text).map_or_else(Field::Wrong, Field::Set))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::from_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::from_object(object)
    }
}

impl<T: Serialize> Serialize for Field<T> {
    /// A field of a wrong type is written as `null`: CNBi never hands a user's mistake on as if it were a value.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(value) => value.serialize(serializer),
            Self::Absent | Self::Wrong(_) => serializer.serialize_unit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_json_type_is_read_and_named() {
        for (value, found) in [
            (json!(null), Found::Null),
            (json!(true), Found::Boolean(true)),
            (json!(3.8), Found::Number("3.8".into())),
            (json!(-1), Found::Number("-1".into())),
            (json!([1, [2]]), Found::List),
            (json!({"a": {"b": 1}}), Found::Object),
        ] {
            let field: Field<String> = serde_json::from_value(value).unwrap();
            assert_eq!(field, Field::Wrong(found));
        }
        assert_eq!(
            serde_json::from_value::<Field<String>>(json!("x")).unwrap().text(),
            Some("x")
        );
    }
}

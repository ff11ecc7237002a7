//! A value of a manifest: absent, of the expected type, or of another type.
//!
//! Deserialization does not stop at a wrong type, so that all errors are reported at once. Every field that a user can set is a [`Field`];
//! rule CNB000 reports wrong types.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};

/// One value of a manifest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Field<T> {
    /// The key does not exist.
    #[default]
    Absent,
    /// A value of the expected type.
    Set(T),
    /// A value of another type.
    WrongType(ActualType),
}

/// The actual JSON type of a value with a wrong type, with the text of a scalar.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ActualType {
    /// `null`; in YAML also a key without a value.
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

impl ActualType {
    /// The name of the type, with an article.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Boolean(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::String(_) => "text",
            Self::List => "a list",
            Self::Object => "an object",
        }
    }
}

impl<T> Field<T> {
    /// The value, if it exists and has the expected type.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Absent | Self::WrongType(_) => None,
        }
    }

    /// Whether the key does not exist.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// The actual type, if it is not the expected one.
    pub fn wrong_type(&self) -> Option<&ActualType> {
        match self {
            Self::WrongType(found) => Some(found),
            Self::Absent | Self::Set(_) => None,
        }
    }
}

impl Field<String> {
    /// The text, if it exists and is text.
    pub fn text(&self) -> Option<&str> {
        self.value().map(String::as_str)
    }
}

impl<T> From<T> for Field<T> {
    fn from(value: T) -> Self {
        Self::Set(value)
    }
}

/// A type that a [`Field`] can contain. Each method handles one JSON type and must consume its input.
pub trait FieldType<'de>: Sized {
    /// The name of the expected type, with an article.
    const TYPE: &'static str;

    /// A string was found.
    fn from_text(text: String) -> Result<Self, ActualType> {
        Err(ActualType::String(text))
    }

    /// A list was found.
    fn from_list<A: SeqAccess<'de>>(mut list: A) -> Result<Field<Self>, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Field::WrongType(ActualType::List))
    }

    /// An object was found.
    fn from_object<A: MapAccess<'de>>(mut object: A) -> Result<Field<Self>, A::Error> {
        while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Field::WrongType(ActualType::Object))
    }
}

impl FieldType<'_> for String {
    const TYPE: &'static str = "text";

    fn from_text(text: String) -> Result<Self, ActualType> {
        Ok(text)
    }
}

/// Implements [`FieldType`] for a struct.
macro_rules! object_field {
    ($type:ty) => {
        impl<'de> $crate::api::field::FieldType<'de> for $type {
            const TYPE: &'static str = "an object";

            fn from_object<A: serde::de::MapAccess<'de>>(
                object: A,
            ) -> Result<$crate::api::field::Field<Self>, A::Error> {
                serde::Deserialize::deserialize(serde::de::value::MapAccessDeserializer::new(object))
                    .map($crate::api::field::Field::Set)
            }
        }
    };
}
pub(crate) use object_field;

impl<'de, T: FieldType<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(FieldVisitor(PhantomData))
    }
}

struct FieldVisitor<T>(PhantomData<T>);

impl<'de, T: FieldType<'de>> Visitor<'de> for FieldVisitor<T> {
    type Value = Field<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(T::TYPE)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Field::WrongType(ActualType::Null))
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(Field::WrongType(ActualType::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Field::WrongType(ActualType::Boolean(value)))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Field::WrongType(ActualType::Number(value.to_string())))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Field::WrongType(ActualType::Number(value.to_string())))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Field::WrongType(ActualType::Number(value.to_string())))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(T::from_text(text.to_owned()).map_or_else(Field::WrongType, Field::Set))
    }

    fn visit_string<E>(self, text: String) -> Result<Self::Value, E> {
        Ok(T::from_text(text).map_or_else(Field::WrongType, Field::Set))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Self::Value, A::Error> {
        T::from_list(list)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<Self::Value, A::Error> {
        T::from_object(object)
    }
}

impl<T: Serialize> Serialize for Field<T> {
    /// A wrong type is serialized as `null`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Set(value) => value.serialize(serializer),
            Self::Absent | Self::WrongType(_) => serializer.serialize_unit(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_json_type_is_deserialized() {
        for (value, found) in [
            (json!(null), ActualType::Null),
            (json!(true), ActualType::Boolean(true)),
            (json!(3.8), ActualType::Number("3.8".into())),
            (json!(-1), ActualType::Number("-1".into())),
            (json!([1, [2]]), ActualType::List),
            (json!({"a": {"b": 1}}), ActualType::Object),
        ] {
            let field: Field<String> = serde_json::from_value(value).unwrap();
            assert_eq!(field, Field::WrongType(found));
        }
        assert_eq!(
            serde_json::from_value::<Field<String>>(json!("x")).unwrap().text(),
            Some("x")
        );
    }
}

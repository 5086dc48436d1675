//! A choice: a bare word, or a one-key table with settings.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use serde::de::value::{MapDeserializer, StrDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, VariantAccess, Visitor,
};

use super::refuse;
use crate::config::diagnostic::Code;
use crate::config::raw::Nothing;

/// One of the variants of `T`: `"ring_hash"` is the variant with its defaults,
/// `{ ring_hash = { vnodes = 100 } }` the variant with settings. `T` is an enum of unit and newtype
/// variants with a derived `Deserialize`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Choice<T>(pub T);

impl<T> Deref for Choice<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Choice<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader(PhantomData))
    }
}

struct Reader<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Reader<T> {
    type Value = Choice<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a word, or a table with one key")
    }

    fn visit_str<E: de::Error>(self, word: &str) -> Result<Choice<T>, E> {
        T::deserialize(OfEnum(Word(word, PhantomData))).map(Choice)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Choice<T>, A::Error> {
        T::deserialize(OfEnum(Settings(map))).map(Choice)
    }
}

/// A deserializer that can be nothing but an enum.
struct OfEnum<A>(A);

impl<'de, A: EnumAccess<'de>> Deserializer<'de> for OfEnum<A> {
    type Error = A::Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, A::Error> {
        visitor.visit_enum(self.0)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Word<'a, E>(&'a str, PhantomData<E>);

impl<'de, E: de::Error> EnumAccess<'de> for Word<'_, E> {
    type Error = E;
    type Variant = Defaults<E>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Defaults<E>), E> {
        let variant = seed.deserialize(StrDeserializer::new(self.0))?;
        Ok((variant, Defaults(PhantomData)))
    }
}

/// The settings of a variant that was named by a bare word: none.
struct Defaults<E>(PhantomData<E>);

impl<'de, E: de::Error> VariantAccess<'de> for Defaults<E> {
    type Error = E;

    fn unit_variant(self) -> Result<(), E> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, E> {
        let none = std::iter::empty::<(&str, &str)>();
        seed.deserialize(MapDeserializer::new(none))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, E> {
        Err(E::custom("a choice has no positional settings"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, E> {
        let none = std::iter::empty::<(&str, &str)>();
        visitor.visit_map(MapDeserializer::new(none))
    }
}

/// The one-key table.
struct Settings<A>(A);

impl<A> Settings<A> {
    fn end<'de>(mut self) -> Result<(), A::Error>
    where
        A: MapAccess<'de>,
    {
        match self.0.next_key::<String>()? {
            None => Ok(()),
            Some(second) => Err(refuse(
                Code::BadChoice,
                format!(
                    "a choice is one key: `{}` is a second one",
                    second.escape_debug()
                ),
                Some("for several steps write several tables".to_owned()),
            )),
        }
    }
}

impl<'de, A: MapAccess<'de>> EnumAccess<'de> for Settings<A> {
    type Error = A::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(
        mut self,
        seed: V,
    ) -> Result<(V::Value, Self), A::Error> {
        match self.0.next_key_seed(seed)? {
            Some(variant) => Ok((variant, self)),
            None => Err(refuse(
                Code::BadChoice,
                "an empty table chooses nothing",
                Some("write a word, or a table with one key".to_owned()),
            )),
        }
    }
}

impl<'de, A: MapAccess<'de>> VariantAccess<'de> for Settings<A> {
    type Error = A::Error;

    fn unit_variant(mut self) -> Result<(), A::Error> {
        let Nothing {} = self.0.next_value()?;
        self.end()
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(
        mut self,
        seed: S,
    ) -> Result<S::Value, A::Error> {
        let settings = self.0.next_value_seed(seed)?;
        self.end()?;
        Ok(settings)
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, A::Error> {
        Err(de::Error::custom("a choice has no positional settings"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, A::Error> {
        Err(de::Error::custom(
            "a choice has its settings in a struct of their own",
        ))
    }
}

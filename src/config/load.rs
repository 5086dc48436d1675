//! Files → raw: reads the main file and its includes, and reports every table that has the wrong shape.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::{DeserializeOwned, IntoDeserializer};
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Code, Diagnostic, Diagnostics};
use super::mask;
use super::raw::{Config, KEYS};
use super::shape;
use super::source::{File, Files};
use super::span::{FileId, Scope, Span, Spanned};
use super::strict::Strict;
use super::whole;

/// Most files in one configuration.
const MAX_FILES: usize = 1024;
/// Most syntax errors shown of one file: after a slip the rest is often noise.
const MAX_SYNTAX_ERRORS: usize = 10;

/// A configuration whose text has the right shape.
#[derive(Debug)]
pub struct Loaded {
    /// What was written.
    pub raw: Config,
    /// Where it was written.
    pub files: Files,
    /// What was found so far (duplicate names, for example). Hand it on to `compile` and look at
    /// `has_errors` after that, so that all errors are shown together.
    pub diagnostics: Diagnostics,
    /// Files and directories whose change may change the configuration.
    pub watch: Vec<PathBuf>,
}

/// Reads a configuration file and what it includes.
pub fn load(path: &Path) -> Result<Loaded, Diagnostics> {
    let mut reader = Reader::default();
    reader.main(path);
    reader.finish()
}

/// Reads a configuration from a text, as if it stood in a file of that path.
pub fn parse(path: &Path, text: &str) -> Result<Loaded, Diagnostics> {
    let mut reader = Reader::default();
    reader.take(path, text, Span::default(), Place::Main);
    reader.finish()
}

/// Where a file stands: some keys belong to the main file alone.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Place {
    Main,
    Included,
}

#[derive(Default)]
pub(super) struct Reader {
    files: Vec<File>,
    pub(super) raw: Config,
    diagnostics: Diagnostics,
    pub(super) watch: BTreeSet<PathBuf>,
    shape: Shape,
}

/// Whether all text so far could be read into raw.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Shape {
    #[default]
    Whole,
    Broken,
}

impl Reader {
    fn main(&mut self, path: &Path) {
        self.watch.insert(path.to_path_buf());
        if let Some(text) = self.read(path, Span::default()) {
            self.take(path, &text, Span::default(), Place::Main);
        }
    }

    fn finish(mut self) -> Result<Loaded, Diagnostics> {
        if self.shape == Shape::Whole {
            whole::look_over(&self.raw, &mut self.diagnostics);
        }
        let files = Files::new(self.files);
        self.diagnostics.set_files(files.clone());
        match self.shape {
            Shape::Broken => Err(self.diagnostics),
            Shape::Whole => Ok(Loaded {
                raw: self.raw,
                files,
                diagnostics: self.diagnostics,
                watch: self.watch.into_iter().collect(),
            }),
        }
    }

    pub(super) fn refuse(&mut self, diagnostic: Diagnostic) {
        self.shape = Shape::Broken;
        self.diagnostics.push(diagnostic);
    }

    pub(super) fn take(&mut self, path: &Path, text: &str, named_at: Span, place: Place) {
        let Some(id) = self.add(path, text, named_at) else {
            return;
        };
        let directory = path.parent().unwrap_or_else(|| Path::new(""));
        let (root, mut errors) = DeTable::parse_recoverable(text);
        if errors.is_empty() {
            self.mask(id, &mask::secrets(root.get_ref()));
        } else {
            self.mask(id, &mask::secret_lines(text));
            // The parser tells what a string lacks after what follows from it; the first in the file is the cause.
            errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
            for error in errors.iter().take(MAX_SYNTAX_ERRORS) {
                self.refuse(shape::syntax(error, id, text.len()));
            }
            return;
        }
        let scope = Scope::enter(id, directory);
        let mut entries: Vec<_> = root.into_inner().into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let span = Span::new(id, &key.span());
            self.entry(&key.into_inner(), value, span, place);
        }
        drop(scope);
        if place == Place::Main {
            self.includes(directory);
        }
    }

    fn add(&mut self, path: &Path, text: &str, named_at: Span) -> Option<FileId> {
        let id = u16::try_from(self.files.len())
            .ok()
            .filter(|id| usize::from(*id) < MAX_FILES)
            .map(FileId);
        match id {
            Some(_) => self
                .files
                .push(File::new(path.to_path_buf(), text.to_owned())),
            None => self.refuse(Diagnostic::error(
                Code::BadInclude,
                named_at,
                format!("a configuration has at most {MAX_FILES} files"),
            )),
        }
        id
    }

    fn mask(&mut self, id: FileId, ranges: &[Range<usize>]) {
        if let Some(file) = self.files.get_mut(usize::from(id.0)) {
            file.mask(ranges);
        }
    }

    /// One key of the top level.
    fn entry(&mut self, key: &str, value: toml::Spanned<DeValue<'_>>, span: Span, place: Place) {
        let only_main = matches!(
            key,
            "runtime" | "admin" | "log" | "dns" | "defaults" | "include"
        );
        if only_main && place == Place::Included {
            self.refuse(
                Diagnostic::error(
                    Code::NotInInclude,
                    span,
                    format!("`{key}` can stand only in the main file"),
                )
                .label("this file is included by another")
                .note("an included file holds listeners, routes, tests, clusters, error_pages, limiters and stores"),
            );
            return;
        }
        match key {
            "include" => self.raw.include = self.section(value, span).unwrap_or_default(),
            "runtime" => self.raw.runtime = self.section(value, span).unwrap_or_default(),
            "admin" => self.raw.admin = self.section(value, span),
            "log" => self.raw.log = self.section(value, span).unwrap_or_default(),
            "dns" => self.raw.dns = self.section(value, span).unwrap_or_default(),
            "defaults" => self.raw.defaults = self.section(value, span).unwrap_or_default(),
            "listeners" => {
                let items = self.array(key, value, span);
                self.raw.listeners.extend(items);
            }
            "routes" => {
                let items = self.array(key, value, span);
                self.raw.routes.extend(items);
            }
            "tests" => {
                let items = self.array(key, value, span);
                self.raw.tests.extend(items);
            }
            "clusters" => {
                let items = self.table(key, value, span);
                self.raw.clusters.extend(items);
            }
            "error_pages" => {
                let items = self.table(key, value, span);
                self.raw.error_pages.extend(items);
            }
            "limiters" => {
                let items = self.table(key, value, span);
                self.raw.limiters.extend(items);
            }
            "stores" => self.stores(value, span),
            _ => self.refuse(shape::unknown_key(key, KEYS, span)),
        }
    }

    fn stores(&mut self, value: toml::Spanned<DeValue<'_>>, span: Span) {
        let Some(stores) = self.section::<super::raw::Stores>(value, span) else {
            return;
        };
        match (&self.raw.stores.redis, stores.redis) {
            (Some(first), Some(second)) => self.diagnostics.push(
                Diagnostic::error(
                    Code::DuplicateName,
                    second.span,
                    "store `redis` is defined twice",
                )
                .label("a second time here")
                .also(first.span, "first defined here"),
            ),
            (None, Some(redis)) => self.raw.stores.redis = Some(redis),
            (_, None) => {}
        }
    }

    fn section<T: DeserializeOwned>(
        &mut self,
        value: toml::Spanned<DeValue<'_>>,
        key: Span,
    ) -> Option<T> {
        let outer = value.span();
        match T::deserialize(Strict(value.into_deserializer())) {
            Ok(section) => Some(section),
            Err(error) => {
                let fault = Scope::take_fault();
                self.refuse(shape::shape(&error, fault, key.file, &outer));
                None
            }
        }
    }

    fn array<T: DeserializeOwned>(
        &mut self,
        key: &str,
        value: toml::Spanned<DeValue<'_>>,
        span: Span,
    ) -> Vec<T> {
        match value.into_inner() {
            DeValue::Array(items) => items
                .into_iter()
                .filter_map(|item| self.section(item, span))
                .collect(),
            other => {
                self.refuse(
                    Diagnostic::error(
                        Code::WrongType,
                        span,
                        format!(
                            "wrong type: found a {}, expected an array of tables",
                            other.type_str()
                        ),
                    )
                    .label(format!("expected `[[{key}]]`"))
                    .hint(format!(
                        "write `[[{key}]]` with two brackets: there can be many"
                    )),
                );
                Vec::new()
            }
        }
    }

    fn table<T: DeserializeOwned>(
        &mut self,
        key: &str,
        value: toml::Spanned<DeValue<'_>>,
        span: Span,
    ) -> Vec<(Spanned<String>, T)> {
        let DeValue::Table(entries) = value.into_inner() else {
            let one = key.strip_suffix('s').unwrap_or(key);
            self.refuse(
                Diagnostic::error(
                    Code::WrongType,
                    span,
                    format!("wrong type: `{key}` is a table of tables, one for each {one}"),
                )
                .label(format!("expected `[{key}.NAME]`"))
                .hint(format!("write `[{key}.NAME]` with the name of the {one}")),
            );
            return Vec::new();
        };
        let mut entries: Vec<_> = entries.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        entries
            .into_iter()
            .filter_map(|(key, value)| {
                let span = Span::new(span.file, &key.span());
                let item = self.section(value, span)?;
                Some((Spanned::new(key.into_inner().into_owned(), span), item))
            })
            .collect()
    }
}

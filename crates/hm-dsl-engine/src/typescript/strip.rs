//! TypeScript to JavaScript, and back from positions in one to positions in the other.
//!
//! This is the only file that knows the parser: its interface changes from version to version.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use oxc_allocator::Allocator;
use oxc_ast::ast::{AccessorProperty, Decorator, Program};
use oxc_ast_visit::Visit;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_diagnostics::OxcDiagnostic;
use oxc_parser::Parser;
use oxc_semantic::SemanticBuilder;
use oxc_span::SourceType;
use oxc_syntax::module_record::{ImportImportName, ModuleRecord};
use oxc_transformer::{TransformOptions, Transformer};

/// How deep brackets may be nested. The parser recurses, and its stack must not end before its patience.
const MAX_NESTING: usize = 2_000;

/// A module as JavaScript.
#[derive(Debug)]
pub(crate) struct Stripped {
    pub(crate) code: String,
    pub(crate) positions: Positions,
    pub(crate) imports: Vec<Import>,
    /// What is imported of each module that is imported by names only.
    pub(crate) names: BTreeMap<String, BTreeSet<String>>,
    /// Whether it exports anything.
    pub(crate) exports: bool,
}

/// An import with a specifier that is written down.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Import {
    pub(crate) specifier: String,
    /// Line in the source, from 1.
    pub(crate) line: u32,
    /// An import of types only; it leaves no trace in the code.
    pub(crate) types_only: bool,
}

/// Why a module is no TypeScript.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct SyntaxProblem {
    /// Line in the source, from 1.
    pub(crate) line: u32,
    /// Column in the source, from 1.
    pub(crate) column: u32,
    pub(crate) message: String,
}

/// Where each part of the JavaScript comes from.
#[derive(Clone, Default, Debug)]
pub(crate) struct Positions {
    /// Sorted pairs of (line, column) in the JavaScript and in the source, from 0. None means the same place.
    tokens: Option<Vec<[u32; 4]>>,
}

/// Which positions are wanted of a module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mapping {
    Kept,
    Dropped,
}

/// Removes the types from the module `source`, called `name`, unless its name says that it is JavaScript.
pub(crate) fn strip(name: &str, source: &str, mapping: Mapping) -> Result<Stripped, SyntaxProblem> {
    refuse_deep_nesting(source)?;
    let is_javascript = matches!(
        Path::new(name).extension().and_then(|extension| extension.to_str()),
        Some("js" | "mjs")
    );
    let source_type = if is_javascript {
        SourceType::mjs()
    } else {
        SourceType::ts().with_module(true)
    };
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, source, source_type).parse();
    refuse(source, parsed.diagnostics)?;
    let mut imports: Vec<Import> = parsed
        .module_record
        .requested_modules
        .iter()
        .flat_map(|(specifier, requests)| {
            requests.iter().map(|request| Import {
                specifier: specifier.to_string(),
                line: position(source, request.span.start).0,
                types_only: request.is_type,
            })
        })
        .collect();
    imports.extend(parsed.module_record.dynamic_imports.iter().filter_map(|import| {
        let span = import.module_request;
        let text = source.get(span.start as usize..span.end as usize)?;
        Some(Import {
            specifier: literal(text)?.to_owned(),
            line: position(source, span.start).0,
            types_only: false,
        })
    }));
    let names = names(&parsed.module_record);
    imports.sort_by(|a, b| (a.line, &a.specifier).cmp(&(b.line, &b.specifier)));
    let exports = !parsed.module_record.local_export_entries.is_empty()
        || !parsed.module_record.indirect_export_entries.is_empty()
        || !parsed.module_record.star_export_entries.is_empty();

    let mut program = parsed.program;
    let analysed = SemanticBuilder::new()
        .with_check_syntax_error(true)
        .with_enum_eval(true)
        .build(&program);
    refuse(source, analysed.diagnostics)?;
    refuse_unknown_syntax(source, &program)?;
    if is_javascript {
        return Ok(Stripped {
            code: source.to_owned(),
            positions: Positions::default(),
            imports,
            names,
            exports,
        });
    }
    let options = TransformOptions::default();
    let transformed = Transformer::new(&allocator, Path::new(name), &options)
        .build_with_scoping(analysed.semantic.into_scoping(), &mut program);
    refuse(source, transformed.diagnostics)?;
    let printed = Codegen::new()
        .with_options(CodegenOptions {
            source_map_path: (mapping == Mapping::Kept).then(|| PathBuf::from(name)),
            ..CodegenOptions::default()
        })
        .build(&program);
    let tokens = printed.map.as_ref().map(|map| {
        map.get_tokens()
            .map(|token| {
                [
                    token.get_dst_line(),
                    token.get_dst_col(),
                    token.get_src_line(),
                    token.get_src_col(),
                ]
            })
            .collect()
    });
    Ok(Stripped {
        code: printed.code,
        positions: Positions {
            tokens: Some(tokens.unwrap_or_default()),
        },
        imports,
        names,
        exports,
    })
}

/// The names that the module imports of others; not of those that it wants as a whole, or hands on.
fn names(record: &ModuleRecord<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut names: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut whole: BTreeSet<&str> = BTreeSet::new();
    for entry in &record.import_entries {
        let specifier = entry.module_request.name.as_str();
        match &entry.import_name {
            ImportImportName::Name(name) => {
                names
                    .entry(specifier.to_owned())
                    .or_default()
                    .insert(name.name.to_string());
            }
            ImportImportName::NamespaceObject | ImportImportName::Default(_) => drop(whole.insert(specifier)),
        }
    }
    let handed_on = record.indirect_export_entries.iter().chain(&record.star_export_entries);
    whole.extend(handed_on.filter_map(|entry| Some(entry.module_request.as_ref()?.name.as_str())));
    names.retain(|specifier, _| !whole.contains(specifier.as_str()));
    names
}

impl Positions {
    /// The line and column of the source, from 1, of a line and column of the JavaScript, from 1.
    pub(crate) fn source(&self, line: u32, column: u32) -> (u32, u32) {
        let Some(tokens) = &self.tokens else {
            return (line, column);
        };
        let wanted = (line.saturating_sub(1), column.saturating_sub(1));
        let after = tokens.partition_point(|[line, column, ..]| (*line, *column) <= wanted);
        match after
            .checked_sub(1)
            .and_then(|index| tokens.get(index))
            .or(tokens.first())
        {
            Some([.., line, column]) => (line + 1, column + 1),
            None => (line, column),
        }
    }
}

fn refuse(source: &str, diagnostics: impl IntoIterator<Item = OxcDiagnostic>) -> Result<(), SyntaxProblem> {
    let Some(first) = diagnostics.into_iter().next() else {
        return Ok(());
    };
    let (line, column) = first
        .labels
        .first()
        .map_or((1, 1), |label| position(source, label.offset()));
    let message = match &first.help {
        _ if first.message.starts_with(OXC_NAMESPACE_VARIABLE) => {
            "namespaces that export variables are not supported\n  fix: export a constant, or a function that gives the value"
                .to_owned()
        }
        Some(help) => format!("{}\n  fix: {help}", first.message),
        None => first.message.to_string(),
    };
    Err(SyntaxProblem { line, column, message })
}

/// Line and column, from 1, of a byte.
fn position(source: &str, offset: u32) -> (u32, u32) {
    let before = source.get(..offset as usize).unwrap_or(source);
    let line = before.bytes().filter(|byte| *byte == b'\n').count();
    let column = before.rsplit('\n').next().map_or(0, |text| text.chars().count());
    let from_one = |count: usize| u32::try_from(count + 1).unwrap_or(u32::MAX);
    (from_one(line), from_one(column))
}

/// The text of a string literal without escapes.
fn literal(expression: &str) -> Option<&str> {
    let quote = expression.chars().next().filter(|char| "\"'`".contains(*char))?;
    let text = expression.strip_prefix(quote)?.strip_suffix(quote)?;
    (!text.contains(['\\', '$'])).then_some(text)
}

/// How oxc begins what it says of `namespace N { export let … }`.
const OXC_NAMESPACE_VARIABLE: &str = "Namespaces exporting non-const";

/// The first syntax that the parser knows and neither engine does: what it is, what to write instead, and where it is.
#[derive(Default)]
struct UnknownSyntax(Option<(&'static str, &'static str, u32)>);

impl<'a> Visit<'a> for UnknownSyntax {
    fn visit_decorator(&mut self, found: &Decorator<'a>) {
        let fix = "call the function on the class or method instead";
        self.0.get_or_insert(("decorators", fix, found.span.start));
    }

    fn visit_accessor_property(&mut self, found: &AccessorProperty<'a>) {
        let fix = "write a getter and a setter";
        self.0.get_or_insert(("accessor fields", fix, found.span.start));
    }
}

/// Refuses what would be a plain syntax error in either engine.
fn refuse_unknown_syntax(source: &str, program: &Program<'_>) -> Result<(), SyntaxProblem> {
    let mut unknown = UnknownSyntax::default();
    unknown.visit_program(program);
    let Some((what, fix, start)) = unknown.0 else {
        return Ok(());
    };
    let (line, column) = position(source, start);
    let message = format!("{what} are not supported, neither here nor by Node\n  fix: {fix}");
    Err(SyntaxProblem { line, column, message })
}

fn refuse_deep_nesting(source: &str) -> Result<(), SyntaxProblem> {
    let mut depth = 0_usize;
    for (offset, byte) in source.bytes().enumerate() {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_NESTING {
            let (line, column) = position(source, u32::try_from(offset).unwrap_or(u32::MAX));
            return Err(SyntaxProblem {
                line,
                column,
                message: format!("brackets are nested deeper than {MAX_NESTING} levels"),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(source: &str) -> Stripped {
        strip("/p/a.ts", source, Mapping::Kept).unwrap()
    }

    #[test]
    fn types_vanish_and_what_has_a_value_stays() {
        let code = stripped(
            "import { type A, b } from './x';\nimport type { C } from './y';\n\
             enum Color { Red, Green = 4 }\nnamespace N { export const one = 1; }\n\
             class P { constructor(private readonly x: number) {} #y = 2; get z(): number { return this.#y + this.x; } }\n\
             const v = <T,>(t: T): T => t satisfies unknown as T;\nexport default [b, Color.Green, N.one, new P(1).z, v!];\n",
        )
        .code;
        for gone in ["type A", "./y", "readonly", ": number", "satisfies", "namespace"] {
            assert!(!code.contains(gone), "{gone}:\n{code}");
        }
        for kept in ["./x", "Green", "this.x = x", "#y"] {
            assert!(code.contains(kept), "{kept}:\n{code}");
        }
    }

    #[test]
    fn positions_lead_back_to_the_source() {
        let source = "interface A {\n  x: number;\n}\n\ntype B = A;\n\nexport const a: B = { x: 1 };\nfail();\n";
        let stripped = stripped(source);
        let line = 1 + u32::try_from(stripped.code.lines().position(|line| line.starts_with("fail")).unwrap()).unwrap();
        assert!(line < 8);
        assert_eq!(stripped.positions.source(line, 1), (8, 1));
        assert_eq!(stripped.positions.source(line, 5).0, 8);
    }

    #[test]
    fn imports_are_listed_with_their_lines() {
        let imports = stripped("import './a';\nimport type { T } from './t';\n\nconst b = await import('./b');\nexport * from \"./c\";\nawait import(`./${b}`);\n").imports;
        let shown: Vec<_> = imports
            .iter()
            .map(|import| (import.specifier.as_str(), import.line, import.types_only))
            .collect();
        assert_eq!(
            shown,
            [
                ("./a", 1, false),
                ("./t", 2, true),
                ("./b", 4, false),
                ("./c", 5, false)
            ]
        );
    }

    #[test]
    fn names_are_told_of_modules_that_are_imported_by_names_only() {
        let names = stripped(
            "import { a, type T, b as c } from 'x';\nimport { d } from 'x';\nimport * as y from 'y';\n\
             import { e } from 'y';\nimport { f } from 'z';\nexport { g } from 'z';\nimport 'w';\n",
        )
        .names;
        let shown: Vec<_> = names
            .iter()
            .map(|(from, names)| (from.as_str(), names.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(shown, [("x", vec!["T", "a", "b", "d"])]);
    }

    #[test]
    fn a_wrong_module_says_where() {
        let problem = strip("/p/a.ts", "const a = 1;\nconst b: = 2;\n", Mapping::Kept).unwrap_err();
        assert_eq!(problem.line, 2, "{problem:?}");
        let problem = strip("/p/a.ts", "const a = 1;\nconst a = 2;\n", Mapping::Kept).unwrap_err();
        assert!(problem.message.contains('a'), "{problem:?}");
        let deep = "(".repeat(100_000);
        let problem = strip("/p/a.ts", &deep, Mapping::Kept).unwrap_err();
        assert!(problem.message.contains("nested"), "{problem:?}");
    }
}

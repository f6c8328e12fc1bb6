//! What pipeline files can ask of the machine: the environment, printing, and reading files of the repository.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rquickjs::{Array, Ctx, Function, IntoJs, Object, Result, TypedArray};

use super::confine::{Confinement, PathError};
use super::embedded;
use super::strip::{Mapping, strip};

/// Where printed text goes.
pub(crate) type Print = Rc<dyn Fn(String)>;

/// Gives the global object what pipeline files may use.
pub(crate) fn install(
    ctx: &Ctx<'_>,
    confinement: &Confinement,
    env: &BTreeMap<String, String>,
    print: Print,
    max_bytes: usize,
) -> Result<()> {
    let globals = ctx.globals();
    globals.set("__hm", general(ctx, confinement, env, print)?)?;
    globals.set("__hmFs", files(ctx, confinement, max_bytes)?)?;
    let prelude = embedded::source("host:prelude.ts").unwrap_or_default();
    let code = strip("host:prelude.ts", prelude, Mapping::Dropped).map_or_else(|_| String::new(), |module| module.code);
    ctx.eval(format!("(() => {{{code}}})()"))
}

fn general<'js>(
    ctx: &Ctx<'js>,
    confinement: &Confinement,
    env: &BTreeMap<String, String>,
    print: Print,
) -> Result<Object<'js>> {
    let variables = Object::new(ctx.clone())?;
    for (name, value) in env {
        variables.set(name.as_str(), value.as_str())?;
    }
    let object = Object::new(ctx.clone())?;
    object.set("env", variables)?;
    object.set("root", confinement.root().to_string_lossy().into_owned())?;
    object.set("print", Function::new(ctx.clone(), move |text: String| print(text))?)?;
    Ok(object)
}

fn files<'js>(ctx: &Ctx<'js>, confinement: &Confinement, max_bytes: usize) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    let at = confinement.clone();
    let read = move |ctx: Ctx<'js>, path: String| {
        let bytes = read(&at, &path, max_bytes).map(|bytes| TypedArray::new(ctx.clone(), bytes));
        answer(&ctx, bytes)
    };
    object.set("read", Function::new(ctx.clone(), read)?)?;
    let at = confinement.clone();
    let read_text = move |ctx: Ctx<'js>, path: String| {
        let text = self::read(&at, &path, max_bytes).map(|bytes| Ok(String::from_utf8_lossy(&bytes).into_owned()));
        answer(&ctx, text)
    };
    object.set("readText", Function::new(ctx.clone(), read_text)?)?;
    let decode = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    object.set("decode", Function::new(ctx.clone(), decode)?)?;
    let at = confinement.clone();
    let list = move |ctx: Ctx<'js>, path: String| {
        let entries = list(&at, &path).map(|entries| {
            let written = Array::new(ctx.clone())?;
            for (index, (name, kind)) in entries.into_iter().enumerate() {
                written.set(index, vec![name, kind.to_owned()])?;
            }
            Ok(written)
        });
        answer(&ctx, entries)
    };
    object.set("list", Function::new(ctx.clone(), list)?)?;
    let at = confinement.clone();
    let stat = move |ctx: Ctx<'js>, path: String, follow: bool| {
        let found = stat(&at, &path, follow).map(|found| {
            let written = Array::new(ctx.clone())?;
            written.set(0, kind(found.file_type()))?;
            written.set(1, found.len())?;
            written.set(2, found.mode())?;
            Ok(written)
        });
        answer(&ctx, found)
    };
    object.set("stat", Function::new(ctx.clone(), stat)?)?;
    let at = confinement.clone();
    let real = move |ctx: Ctx<'js>, path: String| {
        let real = at.real(at.root(), Path::new(&path));
        answer(&ctx, real.map(|path| Ok(path.to_string_lossy().into_owned())))
    };
    object.set("real", Function::new(ctx.clone(), real)?)?;
    Ok(object)
}

/// The value, or the code and reason of the error, as `typescript/fs.ts` expects it.
fn answer<'js, T: IntoJs<'js>>(
    ctx: &Ctx<'js>,
    outcome: std::result::Result<Result<T>, PathError>,
) -> Result<Object<'js>> {
    let object = Object::new(ctx.clone())?;
    match outcome {
        Ok(value) => object.set("value", value?)?,
        Err(error) => {
            let (code, reason) = explain(&error);
            object.set("code", code)?;
            object.set("reason", reason)?;
        }
    }
    Ok(object)
}

fn explain(error: &PathError) -> (&'static str, String) {
    let PathError::Io { source, .. } = error else {
        let fix = "read files of the repository only, or set HM_TS_RUNTIME=node";
        return ("EOUTSIDE", format!("hm: {error}\n  fix: {fix}"));
    };
    let known = [
        (io::ErrorKind::NotFound, "ENOENT", "no such file or directory"),
        (io::ErrorKind::PermissionDenied, "EACCES", "permission denied"),
        (io::ErrorKind::NotADirectory, "ENOTDIR", "not a directory"),
        (
            io::ErrorKind::IsADirectory,
            "EISDIR",
            "illegal operation on a directory",
        ),
        (io::ErrorKind::FileTooLarge, "EFBIG", "file too large"),
    ];
    match known.iter().find(|(kind, ..)| *kind == source.kind()) {
        Some((_, code, reason)) => (code, (*reason).to_owned()),
        None => ("EIO", source.to_string()),
    }
}

fn read(confinement: &Confinement, path: &str, max_bytes: usize) -> std::result::Result<Vec<u8>, PathError> {
    let real = confinement.real(confinement.root(), Path::new(path))?;
    // Only regular files: the others may never end, or never begin.
    let refused = |kind| io_error(&real)(io::Error::from(kind));
    let found = fs::metadata(&real).map_err(io_error(&real))?;
    if found.is_dir() {
        return Err(refused(io::ErrorKind::IsADirectory));
    }
    if !found.is_file() {
        return Err(refused(io::ErrorKind::InvalidInput));
    }
    if found.len() > max_bytes as u64 {
        return Err(refused(io::ErrorKind::FileTooLarge));
    }
    fs::read(&real).map_err(io_error(&real))
}

fn list(confinement: &Confinement, path: &str) -> std::result::Result<Vec<(String, &'static str)>, PathError> {
    let real = confinement.real(confinement.root(), Path::new(path))?;
    let mut entries = Vec::new();
    for entry in fs::read_dir(&real).map_err(io_error(&real))? {
        let entry = entry.map_err(io_error(&real))?;
        let kind = kind(entry.file_type().map_err(io_error(&real))?);
        entries.push((entry.file_name().to_string_lossy().into_owned(), kind));
    }
    entries.sort_unstable();
    Ok(entries)
}

fn stat(confinement: &Confinement, path: &str, follow: bool) -> std::result::Result<fs::Metadata, PathError> {
    let path = Path::new(path);
    let found = if follow {
        confinement.real(confinement.root(), path)?
    } else {
        confinement.place(confinement.root(), path)?
    };
    fs::symlink_metadata(&found).map_err(io_error(&found))
}

fn kind(kind: fs::FileType) -> &'static str {
    if kind.is_file() {
        "file"
    } else if kind.is_dir() {
        "directory"
    } else if kind.is_symlink() {
        "link"
    } else {
        "other"
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> PathError {
    let path: PathBuf = path.to_path_buf();
    move |source| PathError::Io {
        path: path.clone(),
        source,
    }
}

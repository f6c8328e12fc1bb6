//! The TypeScript sources built into the program: the SDK, and what stands for Node's modules.

const SOURCES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/typescript_sources.rs"));

/// Prefix of the names of the SDK's modules.
pub(crate) const SDK: &str = "sdk:";
/// Prefix of the names of the host's own modules.
pub(crate) const HOST: &str = "host:";
/// The module that reads what a pipeline file exports.
pub(crate) const COLLECTOR: &str = "sdk:host.ts";

/// Whether `name` is the name of a module built in.
pub(crate) fn is_embedded(name: &str) -> bool {
    name.starts_with(SDK) || name.starts_with(HOST)
}

/// The source of a module built in.
pub(crate) fn source(name: &str) -> Option<&'static str> {
    SOURCES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, source)| *source)
}

/// All modules of the SDK with their sources.
pub(crate) fn sdk() -> impl Iterator<Item = (&'static str, &'static str)> {
    SOURCES.iter().copied().filter(|(name, _)| name.starts_with(SDK))
}

/// The module that the import of `specifier` means wherever it stands.
pub(crate) fn builtin(specifier: &str) -> Option<&'static str> {
    Some(match specifier {
        "@harmont/hm" => "sdk:index.ts",
        "@harmont/hm/toolchains" => "sdk:toolchains/index.ts",
        "node:fs" | "fs" => "host:fs.ts",
        "node:fs/promises" | "fs/promises" => "host:fs_promises.ts",
        "node:path" | "path" | "node:path/posix" => "host:path.ts",
        _ => return None,
    })
}

/// The module that `specifier` means inside the module `base`, both of the SDK.
pub(crate) fn within_sdk(base: &str, specifier: &str) -> Option<String> {
    let folder = base
        .strip_prefix(SDK)?
        .rsplit_once('/')
        .map_or("", |(folder, _)| folder);
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in specifier.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            name => parts.push(name),
        }
    }
    let path = parts.join("/");
    let stem = path.strip_suffix(".js")?;
    Some(format!("{SDK}{stem}.ts"))
}

use libtest_mimic::Trial;
pub(crate) fn tests() -> Vec<Trial> {
    vec![]
}
pub(crate) fn run_victim_if_requested() -> Option<std::process::ExitCode> {
    None
}

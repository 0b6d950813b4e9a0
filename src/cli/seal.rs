//! Closes this process against looks from outside: no memory image is written when it crashes, and no other process of
//! its user can read its memory or its environment. Root still can, and can debug it.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

/// To be done before any secret is read. An error says what stays open.
pub(super) fn seal() -> Result<(), String> {
    // of the two the kernel obeys the second; the first is for handlers of crashes that ask for the limit only. It is
    // no matter if a sandbox of system calls forbids to change limits
    let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|error| format!("other processes of this user can read the memory of this one: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::{Command, Stdio};

    use super::*;

    /// What the kernel then says of the process, from a process of its own: the seal would be on all tests.
    #[test]
    #[ignore = "seals the process that it runs in; the test below runs it in one of its own"]
    fn sealed() {
        seal().unwrap();
        let limits = fs::read_to_string("/proc/self/limits").unwrap();
        let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap();
        assert_eq!(core.split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
        assert_eq!(rustix::process::dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }

    #[test]
    fn nothing_is_dumped_once_it_is_sealed() {
        let itself = std::env::current_exe().unwrap();
        let mut child = Command::new(itself);
        child.args(["cli::seal::tests::sealed", "--exact", "--ignored"]).stdin(Stdio::null());
        let done = child.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && said.contains("1 passed"), "{said}");
    }
}

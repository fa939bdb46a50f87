//! Who runs a command, for what is kept about it.

use rustix::process::getuid;

use crate::runtime::printable;

/// Where the names of users are: <https://man7.org/linux/man-pages/man5/passwd.5.html>.
const USERS: &str = "/etc/passwd";
/// The variable in which `sudo` names its caller.
const CALLER: &str = "SUDO_USER";

/// The name of the user; where `sudo` was used, with that of its caller.
pub(super) fn who() -> String {
    let number = getuid().as_raw();
    let users = std::fs::read_to_string(USERS).unwrap_or_default();
    let name = name_in(&users, number).map_or_else(|| format!("user {number}"), str::to_owned);
    // Anybody may set the variable: only root's is one of `sudo`.
    let caller = std::env::var(CALLER).ok().filter(|_| number == 0);
    let who = match caller.filter(|caller| !caller.is_empty()) {
        Some(caller) => format!("{caller} as {name}"),
        None => name,
    };
    printable::line(&who).into_owned()
}

fn name_in(users: &str, number: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let found: u32 = fields.nth(1)?.parse().ok()?;
        (found == number).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_user_is_found_by_number() {
        let users =
            "root:x:0:0:root:/root:/bin/bash\nbroken\nalice:x:1000:1000::/home/alice:/bin/sh\n";
        assert_eq!(name_in(users, 1000), Some("alice"));
        assert_eq!(name_in(users, 0), Some("root"));
        assert_eq!(name_in(users, 7), None);
    }
}

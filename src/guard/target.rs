//! The path that a check is about, where its own address has it.

/// Envoy's checks are for path and query behind the third segment (the fourth slash) of their own address.
#[must_use]
pub fn behind_prefix(target: &str) -> &str {
    let path = target.split('?').next().unwrap_or_default();
    match path.match_indices('/').nth(3) {
        Some((at, _)) => target.get(at..).unwrap_or_default(),
        None => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_path_is_what_follows_its_prefix() {
        for (target, want) in [
            ("/guard/envoy/app/", "/"),
            ("/guard/envoy/app/a/b?c=/d", "/a/b?c=/d"),
            ("/guard/envoy/app//a", "//a"),
            ("/guard/envoy/app/..%2f", "/..%2f"),
            ("/guard/envoy/app", ""),
            ("/guard/envoy/app?x=/a", ""),
            ("/outpost.goauthentik.io/auth/envoy/x?y", "/x?y"),
        ] {
            assert_eq!(behind_prefix(target), want, "{target}");
        }
    }
}

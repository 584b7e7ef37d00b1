//! The variables that Kubernetes sets in every container for each service of the namespace. Those of a
//! service named `rollcall` look like settings of ours.

/// Whether a variable that begins with `ROLLCALL_` is one of a Kubernetes service, by its name and the form
/// of its value. The forms are those of the documentation ("Discovering services", "Environment
/// variables"): `{SVC}_SERVICE_HOST`, `{SVC}_SERVICE_PORT`, `{SVC}_SERVICE_PORT_{NAME}`, `{SVC}_PORT`, and
/// `{SVC}_PORT_{NUMBER}_{PROTOCOL}` with `_PROTO`, `_PORT` and `_ADDR`. `{SVC}` may go on after `ROLLCALL`:
/// a service `rollcall-db` is `ROLLCALL_DB`.
///
/// `ROLLCALL_VERSION`, which images set, and `ROLLCALL_PORT` are left out with any value.
pub(super) fn is_of_a_service(name: &str, value: &str) -> bool {
    if matches!(name, "ROLLCALL_VERSION" | PORT) {
        return true;
    }
    // A setting within a section has two of them; a service cannot.
    if name.contains("__") {
        return false;
    }
    if name.ends_with("_SERVICE_HOST") {
        return is_address(value) || value == "None";
    }
    if let Some((_, port_name)) = name.split_once("_SERVICE_PORT") {
        return is_port(value) && (port_name.is_empty() || port_name.starts_with('_'));
    }
    if name.ends_with("_PORT") && is_url(value) {
        return true;
    }
    // The marks may overlap: the service `rollcall-port` has `ROLLCALL_PORT_PORT_9000_TCP`.
    let mut behind_marks = (0..name.len()).filter_map(|at| name.get(at..)?.strip_prefix("_PORT_"));
    behind_marks.any(|rest| is_numbered(rest, value))
}

/// The variable that people take for a setting.
const PORT: &str = "ROLLCALL_PORT";

/// What to tell about such variables; `None` when there are none.
pub(super) fn warning(names: &[String]) -> Option<String> {
    const NAMED: usize = 3;
    let listed = names.iter().take(NAMED).map(String::as_str).collect::<Vec<_>>().join(", ");
    if listed.is_empty() {
        return None;
    }
    let more = if names.len() > NAMED { format!(" and {} more", names.len() - NAMED) } else { String::new() };
    let port = if names.iter().any(|name| name == PORT) { "; to set the port, use ROLLCALL_LISTEN" } else { "" };
    Some(format!(
        "no settings, and left out: {listed}{more}. Kubernetes sets such variables for services; `enableServiceLinks: false` in the pod \
         keeps them away{port}"
    ))
}

/// Whether a name ends, behind `_PORT_`, as that of a numbered port: `9000_TCP`, `9000_TCP_ADDR`.
fn is_numbered(rest: &str, value: &str) -> bool {
    let Some((number, rest)) = rest.split_once('_') else { return false };
    let (protocol, field) = rest.split_once('_').unwrap_or((rest, ""));
    is_port(number)
        && is_protocol(protocol)
        && match field {
            "" => is_url(value),
            "PROTO" => is_protocol(value),
            "PORT" => is_port(value),
            "ADDR" => is_address(value),
            _ => false,
        }
}

fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok()
}

fn is_address(text: &str) -> bool {
    text.parse::<std::net::IpAddr>().is_ok()
}

fn is_protocol(text: &str) -> bool {
    PROTOCOLS.iter().any(|name| text.eq_ignore_ascii_case(name))
}

fn is_url(text: &str) -> bool {
    PROTOCOLS.iter().any(|name| text.strip_prefix(name).is_some_and(|rest| rest.starts_with("://")))
}

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_warning_names_three_of_them_and_the_cure() {
        let warning = |names: &[&str]| warning(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(warning(&[]), None);
        let one = warning(&["ROLLCALL_SERVICE_HOST"]).unwrap();
        assert!(one.contains("ROLLCALL_SERVICE_HOST.") && one.contains("enableServiceLinks: false"), "{one}");
        assert!(!one.contains("ROLLCALL_LISTEN"), "{one}");
        let many = warning(&["ROLLCALL_A", "ROLLCALL_B", "ROLLCALL_C", "ROLLCALL_D", "ROLLCALL_PORT"]).unwrap();
        assert!(many.contains("ROLLCALL_A, ROLLCALL_B, ROLLCALL_C and 2 more"), "{many}");
        assert!(many.ends_with("to set the port, use ROLLCALL_LISTEN"), "{many}");
    }

    #[test]
    fn variables_of_services_are_told_from_settings() {
        for (name, value) in [
            ("ROLLCALL_SERVICE_HOST", "10.0.0.1"),
            ("ROLLCALL_SERVICE_HOST", "fd00::1"),
            ("ROLLCALL_SERVICE_PORT", "9000"),
            ("ROLLCALL_SERVICE_PORT_HTTP", "9000"),
            ("ROLLCALL_SERVICE_PORT_HTTP_ALT", "9000"),
            ("ROLLCALL_PORT", "tcp://10.0.0.1:9000"),
            ("ROLLCALL_PORT", "9000"),
            ("ROLLCALL_VERSION", "0.1.0"),
            ("ROLLCALL_PORT_9000_TCP", "tcp://10.0.0.1:9000"),
            ("ROLLCALL_PORT_9000_TCP", "tcp://[fd00::1]:9000"),
            ("ROLLCALL_PORT_9000_TCP_PROTO", "tcp"),
            ("ROLLCALL_PORT_9000_TCP_PORT", "9000"),
            ("ROLLCALL_PORT_9000_TCP_ADDR", "10.0.0.1"),
            ("ROLLCALL_PORT_53_UDP", "udp://10.0.0.1:53"),
            ("ROLLCALL_PORT_7_SCTP_PROTO", "sctp"),
            ("ROLLCALL_DB_SERVICE_HOST", "10.0.0.2"),
            ("ROLLCALL_DB_PORT_5432_TCP_ADDR", "10.0.0.2"),
            ("ROLLCALL_PORT_PORT_5432_TCP_PORT", "5432"),
        ] {
            assert!(is_of_a_service(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("ROLLCALL_VERSIONS", "0.1.0"),
            ("ROLLCALL_SERVICE_HOST", "0.0.0.0:9000"),
            ("ROLLCALL_SERVICE_PORT", "tcp://10.0.0.1:9000"),
            ("ROLLCALL_LISTEN_PORT", "9000"),
            ("ROLLCALL_HTTP__SERVICE_HOST", "10.0.0.1"),
            ("ROLLCALL_SERVICE_PORTS", "9000"),
            ("ROLLCALL_PORT_9000_TCP", "9000"),
            ("ROLLCALL_PORT_HTTP_TCP_ADDR", "10.0.0.1"),
            ("ROLLCALL_PORT_9000_TCP_HOST", "10.0.0.1"),
            ("ROLLCALL_PORT_99999_TCP_ADDR", "10.0.0.1"),
            ("ROLLCALL_LISTEN", "127.0.0.1:9000"),
        ] {
            assert!(!is_of_a_service(name, value), "{name}={value}");
        }
    }
}

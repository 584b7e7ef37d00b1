//! The variables that Kubernetes sets in every container for each service of the namespace. Those of a
//! service named `rollcall` look like settings of ours.

/// Whether a variable that begins with `ROLLCALL_` is one of a Kubernetes service, by its name and the form
/// of its value. The forms are those of the documentation ("Discovering services", "Environment
/// variables"): `{SVC}_SERVICE_HOST`, `{SVC}_SERVICE_PORT`, `{SVC}_SERVICE_PORT_{NAME}`, `{SVC}_PORT`, and
/// `{SVC}_PORT_{NUMBER}_{PROTOCOL}` with `_PROTO`, `_PORT` and `_ADDR`. `{SVC}` may go on after `ROLLCALL`:
/// a service `rollcall-db` is `ROLLCALL_DB`.
pub(super) fn is_of_a_service(name: &str, value: &str) -> bool {
    // A setting within a section has two of them; a service cannot.
    if name.contains("__") {
        return false;
    }
    let is_port = |text: &str| text.parse::<u16>().is_ok();
    let is_address = |text: &str| text.parse::<std::net::IpAddr>().is_ok();
    let is_url = |text: &str| PROTOCOLS.iter().any(|name| text.strip_prefix(name).is_some_and(|rest| rest.starts_with("://")));
    if name.ends_with("_SERVICE_HOST") {
        return is_address(value) || value == "None";
    }
    if let Some((_, port_name)) = name.split_once("_SERVICE_PORT") {
        return is_port(value) && (port_name.is_empty() || port_name.starts_with('_'));
    }
    if name.ends_with("_PORT") && is_url(value) {
        return true;
    }
    // What stands behind the last `_PORT_` that a number follows.
    let numbered = name.match_indices("_PORT_").filter_map(|(at, mark)| name.get(at + mark.len()..)).last();
    // `…_PORT_9000_TCP_PORT` holds the mark once and ends with half of it.
    let Some((number, rest)) = numbered.and_then(|rest| rest.split_once('_')) else { return false };
    let (protocol, field) = rest.split_once('_').map_or((rest, ""), |(protocol, field)| (protocol, field));
    let is_protocol = |text: &str| PROTOCOLS.iter().any(|name| text.eq_ignore_ascii_case(name));
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

const PROTOCOLS: [&str; 3] = ["tcp", "udp", "sctp"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_of_services_are_told_from_settings() {
        for (name, value) in [
            ("ROLLCALL_SERVICE_HOST", "10.0.0.1"),
            ("ROLLCALL_SERVICE_HOST", "fd00::1"),
            ("ROLLCALL_SERVICE_PORT", "9000"),
            ("ROLLCALL_SERVICE_PORT_HTTP", "9000"),
            ("ROLLCALL_SERVICE_PORT_HTTP_ALT", "9000"),
            ("ROLLCALL_PORT", "tcp://10.0.0.1:9000"),
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
            ("ROLLCALL_PORT", "9000"),
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

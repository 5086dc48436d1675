//! Every metric: name, type, labels, meaning. `docs/metrics.md` is checked against this table.

/// What a metric is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// Only grows, until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of durations by upper bound.
    Histogram,
}

impl Kind {
    /// As Prometheus calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug, Eq, PartialEq)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// Names of its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// Meaning, one sentence.
    pub help: &'static str,
}

macro_rules! metrics {
    ($( $const:ident: $kind:ident $name:literal [$($label:literal),*] $help:literal; )*) => {
        $(
            #[doc = concat!("`", $name, "`")]
            pub static $const: Metric = Metric {
                name: $name, kind: Kind::$kind, labels: &[$($label),*], help: $help,
            };
        )*

        /// Every metric.
        pub static ALL: &[&Metric] = &[ $( &$const, )* ];
    };
}

metrics! {
    BUILD_INFO: Gauge "tidegate_build_info" ["version", "commit"]
        "Always 1; the labels say which build this is.";
    START_TIME: Gauge "tidegate_start_time_seconds" []
        "When the process started, in seconds since the Unix epoch.";
    UPTIME: Gauge "tidegate_uptime_seconds" []
        "How long the process has been running.";
    RUNTIME_WORKERS: Gauge "tidegate_runtime_workers" []
        "Worker threads.";
    RUNTIME_TASKS: Gauge "tidegate_runtime_tasks" []
        "Tasks alive.";
    RUNTIME_TASK_PANICS: Counter "tidegate_runtime_task_panics_total" []
        "Tasks that ended in a panic; each ended its connection or job and nothing else.";
    RUNTIME_RINGS: Gauge "tidegate_runtime_rings" []
        "Workers whose sends to many sockets can leave by one system call (io_uring).";

    CONFIG_RELOADS: Counter "tidegate_config_reloads_total" ["result"]
        "Loads of the configuration, the one at start included, by result (ok, invalid, error).";
    CONFIG_LAST_RELOAD_SUCCESSFUL: Gauge "tidegate_config_last_reload_successful" []
        "1 if the last load of the configuration took effect, 0 if it was refused.";
    CONFIG_LAST_RELOAD_SUCCESS: Gauge "tidegate_config_last_reload_success_timestamp_seconds" []
        "When a configuration last took effect, in seconds since the Unix epoch.";
    CONFIG_HASH_INFO: Gauge "tidegate_config_hash_info" ["hash"]
        "Always 1; the label is the hash of the configuration in effect.";

    CONNECTIONS: Counter "tidegate_connections_total" ["listener", "protocol"]
        "Client connections accepted.";
    CONNECTIONS_ACTIVE: Gauge "tidegate_connections_active" ["listener", "protocol"]
        "Client connections open.";
    CONNECTIONS_REJECTED: Counter "tidegate_connections_rejected_total" ["listener", "reason", "detail"]
        "Client connections closed before their first request, by reason.";
    CONNECTIONS_CLOSED: Counter "tidegate_connections_closed_total" ["listener", "cause"]
        "Client connections ended that could speak, by what ended them.";
    CONNECTION_DURATION: Histogram "tidegate_connection_duration_seconds" ["listener", "protocol"]
        "Time from accepting a client connection to its end.";

    TLS_HANDSHAKES: Counter "tidegate_tls_handshakes_total" ["listener", "version", "group", "resumed", "result"]
        "TLS handshakes with clients, by version, group of the key exchange, whether a session was resumed, and result (ok, or what went wrong).";
    TLS_HANDSHAKE_DURATION: Histogram "tidegate_tls_handshake_duration_seconds" ["listener"]
        "Time from the first step of a TLS handshake to its end.";
    TLS_CERTIFICATE_NOT_AFTER: Gauge "tidegate_tls_certificate_not_after_timestamp_seconds" ["listener", "certificate"]
        "Until when a certificate that is shown is valid, by its file, in seconds since the Unix epoch.";
    TLS_OWN_NOT_AFTER: Gauge "tidegate_tls_upstream_certificate_not_after_timestamp_seconds" ["cluster", "certificate"]
        "Until when the certificate that endpoints of a cluster are shown (tls.certificate, tls.pkcs12) is valid, by its file, in seconds since the Unix epoch.";
    TLS_STAPLE_NEXT_UPDATE: Gauge "tidegate_tls_staple_next_update_timestamp_seconds" ["listener", "certificate"]
        "Until when the OCSP answer that is shown with a certificate is good, by the certificate's file, in seconds since the Unix epoch; after that it is not shown.";
    TLS_LISTS_NEXT_UPDATE: Gauge "tidegate_tls_client_crl_next_update_timestamp_seconds" ["listener"]
        "Until when all revocation lists of a listener's client_auth are good, in seconds since the Unix epoch; after that a client whose chain one of them is about is refused.";
    TLS_RENEWALS: Counter "tidegate_tls_renewals_total" ["listener", "result"]
        "Certificates (with key and OCSP answer) and demands on clients (authorities and revocation lists) whose files were found changed, by result (ok, error: refused, what was in them before stays).";
    H2_CONNECTIONS: Counter "tidegate_h2_connections_total" ["listener"]
        "Client connections that spoke HTTP/2.";
    H2_ERRORS: Counter "tidegate_h2_errors_total" ["listener", "scope", "code"]
        "Errors that clients of HTTP/2 were told of, by what they ended (stream, connection) and code (RFC 9113, 7).";
    H2_ABUSE: Counter "tidegate_h2_abuse_total" ["listener", "kind"]
        "Connections of HTTP/2 closed because their client did something too often (continuations, resets, faults, pings, settings, priorities, empty_data, window_updates).";

    REQUESTS: Counter "tidegate_requests_total" ["listener", "route", "method", "code"]
        "Exchanges ended, by method and exact status.";
    REQUESTS_ACTIVE: Gauge "tidegate_requests_active" ["listener"]
        "Exchanges under way.";
    REQUEST_DURATION: Histogram "tidegate_request_duration_seconds" ["listener", "route", "class"]
        "Time from the first byte of a request to the end of its response.";
    REQUEST_PHASE_DURATION: Histogram "tidegate_request_phase_duration_seconds" ["route", "phase"]
        "Time spent in one part of an exchange (queue, connect, first_byte, body).";
    REQUEST_BODY_BYTES: Counter "tidegate_request_body_bytes_total" ["listener", "route"]
        "Bytes of request bodies received.";
    RESPONSE_BODY_BYTES: Counter "tidegate_response_body_bytes_total" ["listener", "route"]
        "Bytes of response bodies sent.";
    REQUEST_TERMINATIONS: Counter "tidegate_request_terminations_total" ["route", "reason"]
        "Exchanges ended, by reason.";

    L4_SESSIONS: Counter "tidegate_l4_sessions_total" ["listener", "cluster"]
        "Sessions of layer 4 (connections, flows) ended.";
    L4_SESSIONS_ACTIVE: Gauge "tidegate_l4_sessions_active" ["listener", "cluster"]
        "Sessions of layer 4 under way.";
    L4_SESSION_DURATION: Histogram "tidegate_l4_session_duration_seconds" ["listener", "cluster"]
        "Time from the beginning of a session of layer 4 to its end.";
    L4_BYTES: Counter "tidegate_l4_bytes_total" ["listener", "cluster", "direction"]
        "Bytes of ended sessions of layer 4, by direction (in: from clients, out: to them).";
    L4_DATAGRAMS: Counter "tidegate_l4_datagrams_total" ["listener", "cluster", "direction"]
        "Datagrams of flows, by direction (in: from clients to endpoints, out: to clients).";
    L4_DATAGRAMS_DROPPED: Counter "tidegate_l4_datagrams_dropped_total" ["listener", "cluster", "cause"]
        "Datagrams that were dropped, by cause (no_endpoint, full, send, closing, refused, overflow).";
    L4_CONNECTION_IDS: Gauge "tidegate_l4_connection_ids" ["listener", "cluster"]
        "Connection ids of QUIC by which flows are found again.";
    L4_CONNECTION_ID_EVENTS: Counter "tidegate_l4_connection_id_events_total" ["listener", "cluster", "event"]
        "What became of connection ids of QUIC (learned: from an endpoint; found: by a datagram from a new address, which began a flow to its endpoint; displaced: by a newer one of its flow; taken: by another endpoint).";
    L4_TERMINATIONS: Counter "tidegate_l4_terminations_total" ["listener", "cluster", "reason"]
        "Sessions of layer 4 ended, by reason.";

    TRAILERS_DROPPED: Counter "tidegate_trailers_dropped_total" ["listener", "route", "cause"]
        "Trailer fields of requests and responses that were not passed on, by cause (unlisted, forbidden).";

    UPSTREAM_REQUESTS: Counter "tidegate_upstream_requests_total" ["cluster", "code"]
        "Attempts made at endpoints, by exact status; none: the attempt ended without a response.";
    UPSTREAM_REQUEST_DURATION: Histogram "tidegate_upstream_request_duration_seconds" ["cluster"]
        "Time of one attempt at an endpoint.";
    UPSTREAM_REQUESTS_ACTIVE: Gauge "tidegate_upstream_requests_active" ["cluster"]
        "Attempts under way.";
    UPSTREAM_REQUESTS_QUEUED: Gauge "tidegate_upstream_requests_queued" ["cluster"]
        "Exchanges that wait for a slot at an endpoint.";
    UPSTREAM_QUEUE_DURATION: Histogram "tidegate_upstream_queue_duration_seconds" ["cluster"]
        "Time that exchanges waited for a slot at an endpoint.";
    UPSTREAM_REJECTED: Counter "tidegate_upstream_rejected_total" ["cluster", "reason"]
        "Exchanges that got no endpoint, by reason.";
    UPSTREAM_CONNECTIONS: Counter "tidegate_upstream_connections_total" ["cluster", "protocol"]
        "Connections made to endpoints.";
    UPSTREAM_CONNECTIONS_ACTIVE: Gauge "tidegate_upstream_connections_active" ["cluster", "protocol"]
        "Connections to endpoints that are open: in use, being made or idle.";
    UPSTREAM_CONNECTIONS_IDLE: Gauge "tidegate_upstream_connections_idle" ["cluster", "protocol"]
        "Connections to endpoints that wait in the pool.";
    UPSTREAM_CONNECTIONS_REUSED: Counter "tidegate_upstream_connections_reused_total" ["cluster", "protocol"]
        "Attempts that took a connection from the pool.";
    UPSTREAM_CONNECT_FAILURES: Counter "tidegate_upstream_connect_failures_total" ["cluster", "reason"]
        "Connections to endpoints that could not be made, by reason.";
    UPSTREAM_CONNECT_DURATION: Histogram "tidegate_upstream_connect_duration_seconds" ["cluster"]
        "Time to make a connection to an endpoint.";
    UPSTREAM_HTTP2_REFUSED: Counter "tidegate_upstream_http2_streams_refused_total" ["cluster"]
        "Streams that endpoints refused (REFUSED_STREAM) or did not look at any more (GOAWAY).";
    UPSTREAM_HTTP2_GOAWAYS: Counter "tidegate_upstream_http2_goaways_total" ["cluster"]
        "HTTP/2 connections that endpoints ended with a GOAWAY that names an error.";
    UPSTREAM_HTTP2_PINGS_LOST: Counter "tidegate_upstream_http2_pings_lost_total" ["cluster"]
        "HTTP/2 connections to endpoints that were given up because a PING was not answered.";
    GRPC_RESPONSES: Counter "tidegate_grpc_responses_total" ["cluster", "status"]
        "Answers of gRPC by endpoints, by what they say at their end (ok, unavailable …; _other: a number that gRPC does not have; none: nothing).";
    UPSTREAM_RETRIES: Counter "tidegate_upstream_retries_total" ["cluster", "reason", "result"]
        "Retries, by what caused them and how they ended (success, failure).";
    UPSTREAM_RETRY_DENIED: Counter "tidegate_upstream_retry_denied_total" ["cluster", "reason"]
        "Retries that were not made, by what spoke against them.";
    UPSTREAM_ENDPOINTS: Gauge "tidegate_upstream_endpoints" ["cluster", "state"]
        "Endpoints of a cluster, by state (healthy, unhealthy, ejected, probation, draining, disabled).";
    UPSTREAM_ENDPOINT_HEALTHY: Gauge "tidegate_upstream_endpoint_healthy" ["cluster", "endpoint"]
        "1 if the endpoint may be picked, 0 if it may not.";
    UPSTREAM_ENDPOINT_WEIGHT: Gauge "tidegate_upstream_endpoint_weight" ["cluster", "endpoint"]
        "Weight of an endpoint in its cluster, as it is in effect.";
    UPSTREAM_ENDPOINT_OVERRIDES: Gauge "tidegate_upstream_endpoint_overrides" ["cluster"]
        "Endpoints of which an operator has said something that the file does not; those that are not there are counted.";
    UPSTREAM_ENDPOINT_REQUESTS_ACTIVE: Gauge "tidegate_upstream_endpoint_requests_active" ["cluster", "endpoint"]
        "Attempts under way at one endpoint.";
    UPSTREAM_ENDPOINT_CONNECTIONS_ACTIVE: Gauge "tidegate_upstream_endpoint_connections_active" ["cluster", "endpoint"]
        "Connections to one endpoint that are in use or being made.";
    UPSTREAM_ENDPOINT_EWMA: Gauge "tidegate_upstream_endpoint_ewma_seconds" ["cluster", "endpoint"]
        "Running average of the time to a response's head at one endpoint, by which least_time picks.";

    PANIC_ACTIVE: Gauge "tidegate_panic_active" ["cluster"]
        "1 while so few endpoints of a cluster are available that health is ignored (panic_threshold), else 0.";

    HEALTH_CHECKS: Counter "tidegate_health_checks_total" ["cluster", "result"]
        "Probes, by result (pass, fail, timeout).";
    HEALTH_CHECK_DURATION: Histogram "tidegate_health_check_duration_seconds" ["cluster"]
        "Time of one probe.";
    HEALTH_TRANSITIONS: Counter "tidegate_health_transitions_total" ["cluster", "to", "cause"]
        "Changes of whether an endpoint may be used, by new state (healthy, unhealthy) and cause (active, passive, admin, dns).";

    RATELIMIT_DECISIONS: Counter "tidegate_ratelimit_decisions_total" ["limiter", "decision"]
        "Decisions of rate limiters (allow, delay, deny, shadow_deny).";
    RATELIMIT_STORE_REQUESTS: Counter "tidegate_ratelimit_store_requests_total" ["store", "result"]
        "Questions to a store of shared counters (ok, error, skipped: the breaker was open or too many waited).";
    RATELIMIT_STORE_UP: Gauge "tidegate_ratelimit_store_up" ["store"]
        "1 if the store of shared counters is asked, 0 while on_error holds.";
    RATELIMIT_KEYS: Gauge "tidegate_ratelimit_keys" ["limiter"]
        "Keys that a limiter knows.";
    RATELIMIT_EVICTIONS: Counter "tidegate_ratelimit_evictions_total" ["limiter"]
        "Keys that were forgotten for room while they still counted; raise max_keys, or key by something that a client cannot choose.";
    MAINTENANCE: Gauge "tidegate_maintenance_active" ["scope", "name"]
        "1 for what an operator has taken out of service: all, a listener, a route.";
    BANDWIDTH_WAITS: Counter "tidegate_bandwidth_waits_total" ["route", "direction"]
        "Waits of bodies for `bandwidth_limit` (direction download, upload).";
    ERROR_PAGES: Counter "tidegate_error_pages_total" ["pages", "origin"]
        "Answers that got an error page (origin own, cluster), and pages that their cluster did not give (missing).";
    AUTH_DECISIONS: Counter "tidegate_auth_decisions_total" ["route", "filter", "decision"]
        "Decisions of filters that ask elsewhere who may go on (allow, refuse, fail: there was nobody to tell, and the request was refused).";
    PASSWORD_HASHES: Counter "tidegate_password_hashes_total" ["result"]
        "Passwords that were not known (right, wrong; client_full, full: refused, too many waited).";
    PASSWORDS_WAITING: Gauge "tidegate_passwords_waiting" []
        "Passwords that wait for their hash or are hashed.";
    JWKS_FETCHES: Counter "tidegate_jwks_fetches_total" ["url", "result"]
        "Fetches of keys of tokens (ok, error).";
    JWKS_AGE: Gauge "tidegate_jwks_last_good_age_seconds" ["url"]
        "Time since keys of tokens were fetched; not there before they were.";
    DNS_RESOLUTIONS: Counter "tidegate_dns_resolutions_total" ["name", "outcome"]
        "Resolutions of the names of endpoints, by how they ended (ok, partial, truncated, no_name, empty, denied, refused, timeout, error).";
    DNS_RESOLUTION_DURATION: Histogram "tidegate_dns_resolution_duration_seconds" ["name"]
        "Time of one resolution, all of its questions included.";
    DNS_CHANGES: Counter "tidegate_dns_changes_total" ["name"]
        "Resolutions after which a name had other addresses than before.";
    DNS_ADDRESSES: Gauge "tidegate_dns_addresses" ["name"]
        "Addresses in the last good answer.";
    DNS_AGE: Gauge "tidegate_dns_last_good_age_seconds" ["name"]
        "Time since the last good answer; since the name is in the configuration if there was none.";
    OUTLIER_EJECTIONS: Counter "tidegate_outlier_ejections_total" ["cluster", "reason", "result"]
        "Ejections of endpoints by reason (consecutive_failures, failure_rate, latency, probation); capped: wished for, but enough were ejected.";
    BREAKER_STATE: Gauge "tidegate_breaker_state" ["cluster", "state"]
        "1 for the state that the cluster's breaker is in (closed, open, half_open), 0 for the others.";
    BREAKER_TRANSITIONS: Counter "tidegate_breaker_transitions_total" ["cluster", "to"]
        "Changes of the cluster's breaker, by new state (closed, open, half_open).";
    MEMORY: Gauge "tidegate_memory_bytes" []
        "Memory for what peers make us hold that workers have taken.";
    MEMORY_LIMIT: Gauge "tidegate_memory_limit_bytes" []
        "The budget for it.";
    OVERLOAD_LEVEL: Gauge "tidegate_overload_level" []
        "How much of the budget is taken: 0 less than 80 %, 1 tight, 2 short (90 %), 3 full (95 %).";
    OVERLOADS: Counter "tidegate_overloads_total" ["level"]
        "How often a level was entered from below.";

    ACCESSLOG_DROPPED: Counter "tidegate_accesslog_dropped_total" ["sink"]
        "Access log lines that were dropped because the writer could not keep up or the output failed.";
    LOG_DROPPED: Counter "tidegate_log_dropped_total" []
        "Lines of the process log that were dropped because standard error took none, or not soon enough.";
    METRICS_SERIES_DROPPED: Counter "tidegate_metrics_series_dropped_total" []
        "Label sets that were folded into _other because there were too many.";

    PROCESS_CPU: Counter "process_cpu_seconds_total" []
        "User and system CPU time spent.";
    PROCESS_OPEN_FDS: Gauge "process_open_fds" []
        "Open file descriptors.";
    PROCESS_MAX_FDS: Gauge "process_max_fds" []
        "Limit on open file descriptors.";
    PROCESS_RESIDENT_MEMORY: Gauge "process_resident_memory_bytes" []
        "Resident memory.";
    PROCESS_VIRTUAL_MEMORY: Gauge "process_virtual_memory_bytes" []
        "Virtual memory.";
    PROCESS_THREADS: Gauge "process_threads" []
        "Threads of the process.";
    PROCESS_START_TIME: Gauge "process_start_time_seconds" []
        "When the process started, in seconds since the Unix epoch.";
}

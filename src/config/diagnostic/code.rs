//! The codes of diagnostics: stable, so that a tool or a search can hold on to them.

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// What kind of thing is wrong. `C00…` files, `C01…` shape, `C02…` meaning, `C03…` suspicious, `C04…`
        /// not while the process runs.
        #[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
        pub enum Code {
            $($(#[$doc])* $variant,)+
        }

        impl Code {
            /// Every code, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// `C0101` and so on.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }
    };
}

codes! {
    /// A file cannot be read.
    FileUnreadable = "C0001",
    /// A file is larger than 16 MiB.
    FileTooLarge = "C0002",
    /// A file is not UTF-8.
    NotUtf8 = "C0003",
    /// A pattern of `include` is wrong, or there are too many files.
    BadInclude = "C0004",
    /// A key that belongs to the main file stands in an included one.
    NotInInclude = "C0005",

    /// Not TOML.
    Syntax = "C0101",
    /// A key that does not exist.
    UnknownKey = "C0102",
    /// A value of the wrong type.
    WrongType = "C0103",
    /// A key that must be there is not.
    MissingKey = "C0104",
    /// A word that is not one of the choices.
    UnknownChoice = "C0105",
    /// A choice that is not one word or one key.
    BadChoice = "C0106",
    /// A value outside of its range.
    BadValue = "C0107",
    /// Not a duration.
    BadDuration = "C0108",
    /// Not a size.
    BadSize = "C0109",
    /// Not a secret.
    BadSecret = "C0110",
    /// The same key twice.
    DuplicateKey = "C0111",

    /// A name that no cluster has.
    UnknownCluster = "C0201",
    /// A name that no listener has.
    UnknownListener = "C0202",
    /// The same name twice.
    DuplicateName = "C0203",
    /// Not a name.
    BadName = "C0204",
    /// Not an address.
    BadAddress = "C0205",
    /// Two listeners, or a listener and the admin interface, on one address.
    AddressTaken = "C0206",
    /// The same endpoint twice in one cluster.
    DuplicateEndpoint = "C0207",
    /// A weight that is not 1-1000.
    BadWeight = "C0208",
    /// Not a network.
    BadNetwork = "C0209",
    /// Not a host pattern.
    BadHost = "C0210",
    /// Not a path.
    BadPath = "C0211",
    /// Not a method.
    BadMethod = "C0212",
    /// A field name or value that cannot be sent, or that is not the operator's to set.
    BadField = "C0213",
    /// Not a status code, or one that cannot stand here.
    BadStatus = "C0214",
    /// A route without an action, or with more than one.
    RouteAction = "C0215",
    /// A list that must not be empty is.
    Empty = "C0216",
    /// Keys that cannot stand together.
    Conflict = "C0217",
    /// A secret that cannot be had.
    SecretUnavailable = "C0218",
    /// A key that cannot stand on a listener of this protocol.
    NotOnProtocol = "C0219",
    /// Not a property of a request that can tell requests apart.
    BadKey = "C0220",
    /// A name that no limiter has.
    UnknownLimiter = "C0221",
    /// Not a regular expression, or one that would take too much memory.
    BadRegex = "C0222",
    /// Not a variable, or one that is not known yet where it stands.
    BadVariable = "C0223",
    /// A test of the configuration that fails.
    FailedTest = "C0224",
    /// A name that no error pages have.
    UnknownPages = "C0225",
    /// A certificate, or its key, that cannot be used.
    BadCertificate = "C0240",

    /// A route that can never match.
    UnreachableRoute = "C0301",
    /// Something defined and never used.
    Unused = "C0302",
    /// What clients bring back is signed with a key that does not outlive the process.
    EphemeralSecret = "C0303",
    /// A certificate that is not valid now.
    CertificateTime = "C0310",
    /// Certificates that are not checked.
    UncheckedCertificate = "C0311",
    /// Secrets of connections are written to a file.
    KeyLog = "C0312",

    /// A key that takes effect only at the start of the process.
    RestartOnly = "C0402",
}

//! What a call came to.

macro_rules! codes {
    ($( $name:ident = $number:literal $label:literal; )*) => {
        /// The status codes of gRPC, by their numbers (`statuscodes.md` of the gRPC project).
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[expect(missing_docs, reason = "the names are gRPC's")]
        pub enum Code { $( $name, )* }

        impl Code {
            /// Every code, at the place of its number.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// Label value.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $label, )* }
            }

            /// As `grpc-status` has it.
            pub const fn digits(self) -> &'static str {
                match self { $( Self::$name => $number, )* }
            }
        }
    };
}

codes! {
    Ok = "0" "ok";
    Cancelled = "1" "cancelled";
    Unknown = "2" "unknown";
    InvalidArgument = "3" "invalid_argument";
    DeadlineExceeded = "4" "deadline_exceeded";
    NotFound = "5" "not_found";
    AlreadyExists = "6" "already_exists";
    PermissionDenied = "7" "permission_denied";
    ResourceExhausted = "8" "resource_exhausted";
    FailedPrecondition = "9" "failed_precondition";
    Aborted = "10" "aborted";
    OutOfRange = "11" "out_of_range";
    Unimplemented = "12" "unimplemented";
    Internal = "13" "internal";
    Unavailable = "14" "unavailable";
    DataLoss = "15" "data_loss";
    Unauthenticated = "16" "unauthenticated";
}

impl Code {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Of the value of `grpc-status`; `None`: it is none that is known.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|code| code.digits().as_bytes() == value).copied()
    }
}

/// A set of codes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Codes(u32);

impl Codes {
    /// With this one.
    #[must_use]
    pub const fn with(self, code: Code) -> Self {
        Self(self.0 | 1 << code as u32)
    }

    /// Whether it has this one.
    pub const fn has(self, code: Code) -> bool {
        self.0 & (1 << code as u32) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_stand_at_their_numbers() {
        for (number, &code) in Code::ALL.iter().enumerate() {
            assert_eq!(code as usize, number);
            assert_eq!(code.digits(), number.to_string());
            assert_eq!(Code::parse(number.to_string().as_bytes()), Some(code));
        }
        for value in ["", "17", "00", "-1", "0 "] {
            assert_eq!(Code::parse(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn sets_have_what_was_put_in() {
        let set = Codes::default().with(Code::Ok).with(Code::Unauthenticated);
        let all: Vec<_> = Code::ALL.iter().filter(|&&code| set.has(code)).collect();
        assert_eq!(all, [&Code::Ok, &Code::Unauthenticated]);
    }
}

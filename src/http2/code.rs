//! Error codes (RFC 9113, 7).

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, $label:literal; )*) => {
        /// Why a stream or a connection ends.
        #[derive(Clone, Copy, Debug, Eq, PartialEq)]
        #[repr(u8)]
        pub enum Code { $( $(#[$doc])* $name = $number, )* }

        impl Code {
            /// Every code, by number.
            pub const ALL: &'static [Self] = &[ $( Self::$name, )* ];

            /// Metric label.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$name => $label, )* }
            }
        }
    };
}

codes! {
    /// Nothing is wrong.
    NoError = 0, "no_error";
    /// The protocol was broken, in a way that has no code of its own.
    Protocol = 1, "protocol_error";
    /// A fault of the end that says so.
    Internal = 2, "internal_error";
    /// More was sent than the window allows, or the window is too large.
    FlowControl = 3, "flow_control_error";
    /// SETTINGS were not acknowledged in time.
    SettingsTimeout = 4, "settings_timeout";
    /// A frame for a stream that is closed, in whole or in this direction.
    StreamClosed = 5, "stream_closed";
    /// A frame that is too long, or has not the length of its kind.
    FrameSize = 6, "frame_size_error";
    /// The stream was not begun: the request may be made again.
    RefusedStream = 7, "refused_stream";
    /// Nobody wants it any more.
    Cancel = 8, "cancel";
    /// A header block that cannot be read.
    Compression = 9, "compression_error";
    /// The connection that CONNECT asked for broke.
    Connect = 10, "connect_error";
    /// Too much of what may be done now and then.
    EnhanceYourCalm = 11, "enhance_your_calm";
    /// The transport is not as secure as it must be.
    InadequateSecurity = 12, "inadequate_security";
    /// HTTP/1.1 is to be used.
    Http11Required = 13, "http_1_1_required";
}

impl Code {
    /// As it stands in a frame.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// What a number means; one that is not known is no special case (RFC 9113, 7).
    pub fn of(number: u32) -> Self {
        usize::try_from(number)
            .ok()
            .and_then(|number| Self::ALL.get(number).copied())
            .unwrap_or(Self::Internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_places() {
        for (at, code) in Code::ALL.iter().enumerate() {
            assert_eq!(code.number() as usize, at);
            assert_eq!(Code::of(code.number()), *code);
            assert_eq!(crate::metrics::CODES.get(at), Some(&code.as_str()));
        }
        assert_eq!(Code::of(14), Code::Internal);
        assert_eq!(Code::of(u32::MAX), Code::Internal);
    }
}

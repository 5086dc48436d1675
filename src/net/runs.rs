//! Which datagrams the kernel takes, or is not willing to take, by one call as one piece that it cuts itself (udp(7), `UDP_SEGMENT`).

use std::io;

use nix::libc;

/// Most datagrams of one piece (`UDP_MAX_SEGMENTS` before Linux 6.9).
pub(super) const RUN: usize = 64;
/// Most bytes of one piece: the longest datagram of IPv4.
const RUN_BYTES: usize = 65_507;

/// How many of these datagrams, from the first on, can be one piece: all as long as the first, the last no longer, none of them
/// empty. The length to give as `segment`; 0: it is the first alone.
pub fn run(lengths: impl Iterator<Item = usize>) -> (usize, u16) {
    let (mut count, mut first, mut bytes) = (0, 0, 0);
    for length in lengths.take(RUN) {
        let fits = match count {
            0 => true,
            _ => (1..=first).contains(&length) && bytes + length <= RUN_BYTES,
        };
        if !fits {
            break;
        }
        count += 1;
        bytes += length;
        if count == 1 {
            first = length;
        } else if length < first {
            break;
        }
    }
    match u16::try_from(first) {
        Ok(segment) if count > 1 => (count, segment),
        _ => (count.min(1), 0),
    }
}

/// Whether the kernel did not take datagrams as a run but may take each of them: the way is too narrow for their length, or its
/// device cannot (udp(7)).
pub fn takes_single(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::EINVAL | libc::EIO | libc::EMSGSIZE | libc::EOPNOTSUPP | libc::ENOPROTOOPT)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lengths: &[usize]) -> (usize, u16) {
        run(lengths.iter().copied())
    }

    #[test]
    fn a_run_is_of_one_length_but_for_its_end() {
        for (lengths, expected) in [
            (&[][..], (0, 0)),
            (&[100], (1, 0)),
            (&[100, 100, 100], (3, 100)),
            (&[100, 100, 30, 100], (3, 100)),
            (&[100, 101], (1, 0)),
            (&[100, 100, 101], (2, 100)),
            (&[100, 0, 100], (1, 0)),
            (&[0, 0], (1, 0)),
            (&[40_000, 40_000], (1, 0)),
            (&[30_000, 30_000, 30_000], (2, 30_000)),
            (&[65_507, 1], (1, 0)),
            (&[9; 100], (RUN, 9)),
        ] {
            assert_eq!(of(lengths), expected, "{lengths:?}");
        }
    }

    /// What is cut from a piece is what it was made of.
    #[test]
    fn what_is_cut_is_what_was_joined() {
        let mut rng = fastrand::Rng::with_seed(9);
        for _ in 0..5_000 {
            let usual = rng.usize(0..2_000);
            let lengths: Vec<usize> = (0..rng.usize(1..80))
                .map(|_| {
                    if rng.u8(..) < 200 {
                        usual
                    } else {
                        rng.usize(0..3_000)
                    }
                })
                .collect();
            let (count, segment) = of(&lengths);
            let joined: usize = lengths[..count].iter().sum();
            let mut cut =
                vec![usize::from(segment); joined.checked_div(segment.into()).unwrap_or(0)];
            match joined.checked_rem(segment.into()) {
                None => cut.push(joined),
                Some(0) => {}
                Some(rest) => cut.push(rest),
            }
            assert_eq!(cut, lengths[..count], "{lengths:?}");
            assert!(joined <= RUN_BYTES && count <= RUN);
        }
    }
}

//! [`Addresses`]: how many connections each network has, for [`Limits::per_ip`](crate::Limits::per_ip).

use core::num::NonZeroU64;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many connections there are from each network. A network without a connection has no entry.
#[derive(Debug, Default)]
pub(crate) struct Addresses(Mutex<HashMap<Network, usize>>);

impl Addresses {
    /// Counts one more connection from a network; false, and nothing counted, if the network has `most` of them.
    pub(crate) fn admit(&self, network: Network, most: usize) -> bool {
        let mut addresses = self.lock();
        let count = addresses.entry(network).or_insert(0);
        let admitted = *count < most;
        *count += usize::from(admitted);
        if *count == 0 {
            addresses.remove(&network);
        }
        admitted
    }

    /// Counts one connection less from a network.
    pub(crate) fn dismiss(&self, network: Network) {
        let mut addresses = self.lock();
        if let Some(count) = addresses.get_mut(&network) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(&network);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Network, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A network whose connections are counted together: an IPv4 address, or the /64 of an IPv6 address. It is one word, since
/// each connection keeps one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Network(NonZeroU64);

impl Network {
    /// The number of an IPv4 address is above this. No /64 has such a number: `0:1::/32` is assigned to nobody.
    const V4: NonZeroU64 = NonZeroU64::MIN.saturating_add(u32::MAX as u64);

    pub(crate) fn of(client: IpAddr) -> Network {
        Network(match client.to_canonical() {
            IpAddr::V4(v4) => Network::V4 | u64::from(u32::from(v4)),
            // The /64 of the loopback address is 0, which no `NonZeroU64` is: it counts as 1, which is assigned to nobody.
            IpAddr::V6(v6) => NonZeroU64::new((u128::from(v6) >> 64) as u64).unwrap_or(NonZeroU64::MIN),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(address: &str) -> Network {
        Network::of(address.parse().expect("an address"))
    }

    #[test]
    fn a_network_is_forgotten_with_its_last_connection() {
        let (addresses, one, other) = (Addresses::default(), of("192.0.2.1"), of("2001:db8::1"));
        let known = || addresses.lock().len();
        assert!(addresses.admit(one, 2) && addresses.admit(one, 2) && addresses.admit(other, 2));
        assert!(!addresses.admit(one, 2));
        assert_eq!(known(), 2);
        addresses.dismiss(one);
        assert!(addresses.admit(one, 2));
        addresses.dismiss(one);
        addresses.dismiss(one);
        addresses.dismiss(other);
        assert_eq!(known(), 0);
        // Neither one that is not let in nor one that is not known leaves anything.
        assert!(!addresses.admit(one, 0));
        addresses.dismiss(one);
        assert_eq!(known(), 0);
    }

    #[test]
    fn one_address_of_ipv4_or_64_bits_of_ipv6_are_a_network() {
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::2"));
        let apart = [
            "0.0.0.0",
            "0.0.0.1",
            "192.0.2.1",
            "255.255.255.255",
            "::1",
            "2001:db8:1:2::1",
            "2001:db8:1:3::1",
        ];
        for (place, one) in apart.iter().enumerate() {
            assert!(apart[place + 1..].iter().all(|other| of(one) != of(other)), "{one}");
        }
    }
}

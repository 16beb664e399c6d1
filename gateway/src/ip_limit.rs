use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    sync::Arc,
};

use parking_lot::Mutex;

/// Sockets of each address (S8).
#[derive(Debug, Clone)]
pub(crate) struct IpLimit {
    max: Option<usize>,
    sockets: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A socket that counts; dropping it makes room.
#[derive(Debug)]
pub(crate) struct IpPermit {
    addresses: IpLimit,
    address: IpAddr,
}

impl IpLimit {
    pub(crate) fn new(max: Option<usize>) -> Self {
        IpLimit {
            max,
            sockets: Arc::default(),
        }
    }

    /// Counts one more socket, if the address may have it. Nothing is counted without a bound.
    pub(crate) fn count(&self, address: IpAddr) -> Result<Option<IpPermit>, usize> {
        let Some(max) = self.max else { return Ok(None) };
        let address = address.to_canonical();
        let mut sockets = self.sockets.lock();
        let count = sockets.entry(address).or_default();
        if *count >= max {
            return Err(max);
        }
        *count += 1;
        Ok(Some(IpPermit {
            addresses: self.clone(),
            address,
        }))
    }
}

impl Drop for IpPermit {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.addresses.sockets.lock().entry(self.address) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s8_one_more_is_refused_and_takes_nothing_from_those_that_are_there() {
        let addresses = IpLimit::new(Some(2));
        let [a, b] = ["10.0.0.1", "10.0.0.2"].map(|text| text.parse::<IpAddr>().unwrap());
        let one = addresses.count(a).unwrap();
        let two = addresses.count(a).unwrap();
        assert_eq!(addresses.count(a).unwrap_err(), 2);
        assert!(addresses.count(b).is_ok());
        drop(one);
        let again = addresses.count(a).unwrap();
        drop((two, again));
        assert!(addresses.sockets.lock().is_empty());
    }
}

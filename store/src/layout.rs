use outlast_protocol::{RoomName, Sid};
use serde::{Deserialize, Serialize};

/// Which slice of the rooms: `hash(room) mod P`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PartitionId(pub u16);

/// Which slice of the sessions: the last byte of the sid, mod S.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ShardId(pub u16);

/// The division of a store; fixed when it is created (L3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// P, how many partitions the rooms are divided into; at least 1.
    pub partitions: u16,
    /// S, how many shards the sessions are divided into: a power of two from 1 to 256.
    pub shards: u16,
}

impl Default for Layout {
    fn default() -> Self {
        Layout {
            partitions: 16,
            shards: 4,
        }
    }
}

impl Layout {
    /// The partition that a room lives in.
    pub fn partition(&self, room: &RoomName) -> PartitionId {
        PartitionId((fnv1a(room.as_str().as_bytes()) % u64::from(self.partitions)) as u16)
    }

    /// The shard that a session lives in.
    pub fn shard(&self, sid: &Sid) -> ShardId {
        ShardId(u16::from(sid.as_bytes()[15]) % self.shards)
    }

    /// The shard in which all sessions of a user live, so that they can be counted in one step.
    /// [`Layout::place`] makes a sid that belongs there.
    pub fn shard_of_user(&self, user: &str) -> ShardId {
        ShardId((fnv1a(user.as_bytes()) % u64::from(self.shards)) as u16)
    }

    /// Moves a fresh sid into the shard of its user, by its last byte alone.
    pub fn place(&self, sid: Sid, user: &str) -> Sid {
        let mut bytes = sid.into_bytes();
        let within = u16::from(bytes[15]) / self.shards * self.shards;
        bytes[15] = (within + self.shard_of_user(user).0).min(255) as u8;
        Sid::from_bytes(bytes)
    }

    /// Every partition.
    pub fn all_partitions(&self) -> impl Iterator<Item = PartitionId> + use<> {
        (0..self.partitions).map(PartitionId)
    }

    /// Every shard.
    pub fn all_shards(&self) -> impl Iterator<Item = ShardId> + use<> {
        (0..self.shards).map(ShardId)
    }
}

/// FNV-1a, 64 bits: stable for ever, since it decides where things lie.
/// Source: <http://www.isthe.com/chongo/tech/comp/fnv/>.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_placed_sid_lies_in_its_users_shard_and_stays_a_v7() {
        for shards in [1, 2, 4, 64, 256] {
            let layout = Layout {
                partitions: 16,
                shards,
            };
            for user in ["", "ada", "anon:1"] {
                let sid = layout.place(Sid::now_v7(), user);
                assert_eq!(layout.shard(&sid), layout.shard_of_user(user));
                assert_eq!(sid.get_version_num(), 7);
            }
        }
    }
}

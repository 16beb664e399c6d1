# Makes Redis's ACL file of the users that docs/redis.md describes and the passwords in the Secret.
set -eu
umask 077
# Nobody is anybody without a password, but for the probes.
echo 'user default on nopass resetkeys resetchannels -@all +ping' > /run/acl/users.acl
while read -r user; do
    role=${user#user outlast-}
    role=${role%% *}
    if [ -f "/run/secrets/redis/$role" ]; then
        hash=$(tr -d '\r\n' < "/run/secrets/redis/$role" | sha256sum | cut -c 1-64)
        echo "$user #$hash" >> /run/acl/users.acl
    fi
done < /etc/redis-users/users.acl

# Makes Redis's ACL file of the users that docs/redis.md describes and the passwords in the Secret.
set -eu
umask 077
: "${ACL_FILE:=/run/acl/users.acl}" "${PASSWORDS:=/run/secrets/redis}" "${USERS:=/etc/redis-users/users.acl}"
# Redis reads its append-only file as `default`, and drops what that user may not do: it may do everything, and nobody
# can be it. Nobody is anybody without a password, but for the probes, which may do nothing else.
echo 'user default off ~* &* +@all' > "$ACL_FILE"
echo 'user probe on nopass resetkeys resetchannels -@all +ping' >> "$ACL_FILE"
while read -r user; do
    role=${user#user outlast-}
    role=${role%% *}
    if [ -f "$PASSWORDS/$role" ]; then
        hash=$(tr -d '\r\n' < "$PASSWORDS/$role" | sha256sum | cut -c 1-64)
        echo "$user #$hash" >> "$ACL_FILE"
    fi
done < "$USERS"

# The guest's pid 1 until systemd takes over. The second disk, with the checkout, is at /srv.
export PATH=/usr/sbin:/usr/bin PYTHONPATH=/srv/checkout:/srv/site PYTHONDONTWRITEBYTECODE=1 HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mkdir -p /dev/pts /dev/shm /data
mount -t devpts devpts /dev/pts
mount -t tmpfs tmpfs /dev/shm
mount -t tmpfs tmpfs /run
mount -t tmpfs tmpfs /tmp
mount -t ext4 /dev/nvme0n3 /data
mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup
mount -t securityfs securityfs /sys/kernel/security
exec </dev/null >/dev/ttyS0 2>&1
python3 -m tests.guest.inside bare
umount /run /tmp /sys/kernel/security
install -m 644 /srv/checkout/tests/guest/systemd.service /etc/systemd/system/guest.service
install -m 644 /srv/checkout/tests/guest/systemd.target /etc/systemd/system/default.target
grep -qE "system|scope|session" /srv/settings || exec poweroff -ff
exec /sbin/init

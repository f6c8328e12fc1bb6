//! Everything durable on this machine: layers, images, workspaces, snapshots, cache index, leases, journals.

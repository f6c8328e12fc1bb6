//! The bodies.

mod command;
mod debian;
mod delta;
mod docker;
mod files;
mod hand_over;
mod image;
mod output;
mod real;
mod sandbox;
mod snapshot;
mod stop;
mod workspace;

use std::pin::Pin;

use crate::ground::Ground;

pub(crate) struct Body {
    pub(crate) name: &'static str,
    pub(crate) run: for<'a> fn(&'a Ground) -> Pin<Box<dyn Future<Output = ()> + 'a>>,
}

macro_rules! bodies {
    ($list:ident: $($module:ident { $($name:ident)* })*) => {
        pub(crate) const $list: &[Body] = &[$($(
            Body {
                name: concat!(stringify!($module), "::", stringify!($name)),
                run: |ground| Box::pin($module::$name(ground)),
            },
        )*)*];
    };
}

bodies! {
    BODIES:
    files {
        stay_between_commands
        have_modes
        can_be_links
        can_be_renamed_and_removed
        run_when_executable
    }
    command {
        exit_codes_are_exact
        signals_are_128_and_more
        env_is_what_was_given
        baseline_of_the_environment
        runs_in_the_working_folder
        missing_working_folder_is_an_error
        standard_input_is_empty
        many_machines_at_once
    }
    output {
        bytes_are_kept_as_they_are
        streams_are_kept_apart
        ten_megabytes_arrive_in_order
        nothing_is_nothing
        background_processes_end_with_the_command
    }
    stop {
        ends_the_command
        lets_the_command_finish
        kills_after_the_grace
        kills_at_once
        before_the_start
        leaves_the_machine_usable
        a_dropped_command_does_nothing_more
    }
    image {
        missing_is_an_error
        has_a_stable_digest
        is_never_changed
    }
    snapshot {
        holds_what_was_written
        is_not_changed_later
        fifty_deep
        fifty_wide
        restored_many_times_at_once
        several_of_one_machine
        release_is_refused_while_in_use
        released_parents_leave_children_whole
        missing_is_an_error
        content_hash_is_of_the_content
        content_hash_sees_every_change
        removals_stay_removed
    }
    hand_over {
        is_a_snapshot
        the_last_machine_goes_on
        a_newer_tree_is_put_on_it
        what_it_stands_on_may_be_released
        has_the_content_hash_of_a_snapshot
        the_machine_itself_can_go_on
    }
    workspace {
        is_exact
        is_writable_and_nobody_elses
        has_the_captured_times
        none_is_an_empty_folder
    }
    delta {
        unchanged_tree_changes_nothing
        changed_new_and_deleted_files
        what_steps_made_stays
        links_modes_and_empty_folders
        renames
        folders_become_files_and_files_folders
        the_users_version_wins
        several_trees_one_after_the_other
        siblings_share_it
        does_not_count_for_the_content_hash
    }
}

bodies! {
    REAL_BODIES:
    real {
        a_hundred_megabytes_arrive_whole
        a_full_disk_is_the_commands_failure
        can_be_dropped_at_any_point
        knows_its_own_name
        the_workspace_hides_the_images
        another_users_workspace_hides_the_images
    }
}

bodies! {
    SANDBOX_BODIES:
    sandbox {
        an_image_without_a_shell_is_an_error
        limits_are_held
        name_service_files_are_never_in_a_snapshot
        no_network_means_loopback_only
        the_images_user_owns_the_workspace
        files_of_other_users_are_kept_and_removed
        the_images_working_folder_is_used
        an_etc_that_is_a_link_stays_one
        users_are_found_behind_an_etc_that_is_a_link
        an_unknown_user_is_an_error
        deep_chains_are_flattened
        nothing_is_left_behind
        cached_steps_outlive_the_process
    }
}

bodies! {
    DOCKER_BODIES:
    docker {
        deep_chains_are_flattened
        nothing_is_left_behind
        what_a_dead_process_left_is_swept
        the_images_user_owns_the_workspace
        images_are_the_engines_own
        no_network_means_loopback_only
        an_image_without_a_shell_is_an_error
        an_unchanged_tree_is_sent_once
        trees_are_kept_between_processes
        a_chain_that_is_handed_over_makes_no_image
        an_image_for_another_platform_is_told
        volumes_are_in_no_snapshot
        limits_are_the_engines
        out_of_memory_is_told
        a_snapshot_of_another_process_can_be_used
        gives_what_the_sandbox_gives
        its_images_boot_in_the_sandbox
    }
    debian {
        is_the_same_in_the_sandbox
    }
}

"""List the end-to-end tests that `make test` leaves out because a faster test covers them.

`pytest tests/e2e` runs all of them, `make test-all` those of the long suites too. After a change, run the
files of the changed features.
"""

LATER = {
    "test_publish.py": {
        "test_a_shallow_clone_matters_where_git_is_to_name_the_image": "tests/unit/git has shallow clones",
    },
    "test_checks.py": {
        "test_checks_need_no_binary": "tests/unit/project has the choice of binaries",
        "test_a_builder_that_cannot_be_prepared_is_not_a_failed_check": "test_options.py has such packages",
    },
    "test_access.py": {
        "test_a_git_dependency_with_a_token": "cargo tries four times; a registry with a token stays",
        "test_a_git_dependency_over_ssh": "test_a_git_dependency_with_a_token fetches from git too",
    },
    "test_advice.py": {
        "*": "follows the advice of messages that other files show",
    },
    "test_attest.py": {
        "test_scanners_find_the_crates_in_the_binary": "compiles a scanner of binaries",
        "test_each_platforms_binary_has_its_own_crates": "compiles a scanner of binaries",
        "test_an_image_with_everything": "compiles cosign and oras; test_secrets.py signs too",
        "test_nothing_is_attached_unasked": "compiles oras, a registry client",
        "test_the_same_documents_again_are_not_sent_again": "compiles oras, a registry client",
        "test_a_key_is_tried_before_anything_is_built": "compiles cosign for a key of it",
    },
    "test_caching.py": {
        "test_a_project_without_a_clock_is_reproducible": "one with a clock is found",
        "test_a_build_starts_from_an_archive_and_ships_what_the_sources_say": "tests/cargo has archives",
        "test_a_platform_more_or_less_compiles_nothing_again": "tests/cargo has the rules of the state",
        "test_the_module_hands_an_archive_on": "test_dagger_call.py has state from call to call",
        "test_the_state_is_one_volume_for_whoever_looks_at_it": "tests/cargo has the state's rules",
        "test_a_file_that_only_a_macro_looks_for_is_in_the_program": "tests/cargo has it without engine",
        "test_a_link_to_another_file_is_another_program": "tests/cargo has links, without an engine",
    },
    "test_compile_cache.py": {
        "test_two_projects_share_their_dependencies": "tests/cargo has it, with the builder's scripts",
        "test_runners_share_a_directory": "tests/cargo has directories that carry entries",
        "test_an_untrusted_build_reaches_no_trusted_one": "tests/hostile/test_trust.py has the volumes",
        "test_an_image_is_the_same_with_and_without_it": "tests/cargo compares programs",
        "test_reproduce_compiles_everything": "tests/unit has the builds without the cache",
        "test_the_command_line_keeps_a_directory": "tests/cargo has directories that carry entries",
        "test_runners_share_the_cache_of_github_actions": "tests/cargo has the real sccache with it",
        "test_the_command_line_takes_the_runners_token": "tests/unit/cli has the token",
    },
    "test_caller.py": {
        "test_the_cargo_workspace_around_a_subdirectory": "another test finds the project of a directory",
        "test_another_module_without_a_source": "loads two modules; test_bindings.py has a consumer",
        "test_a_source_that_is_passed_has_tracked_files_too": "tests/unit/cli has the choice of files",
        "test_a_tracked_file_that_gitignore_names_is_handed_over": "test_cli.py has the same source",
        "test_the_same_file_is_no_change_of_the_checkout_that_is_passed": "test_git.py has its facts",
        "test_a_worktree_says_what_it_lacks": "tests/unit/git has it in all its kinds",
        "test_the_member_that_is_called_in_is_built": "a subdirectory of a workspace is tested",
        "test_a_dependency_beside_the_repository_and_the_advice_for_it": "tests/unit/project has the message",
        "test_a_project_that_git_ignores_is_named": "a missing project is tested",
        "test_an_explicit_source_wins": "test_dagger_call.py passes a source in every test",
    },
    "test_cases.py": {
        "*": "public reports, 5 to 30 s each; their kinds are in tests/cargo, tests/unit and other files",
    },
    "test_cli.py": {
        "test_build_loads_this_machines_variant": "installs podman; tests/unit/cli has the command",
        "test_compiled_state_comes_and_goes_as_a_file": "test_dagger_call.py has such state",
        "test_another_value_of_a_build_secret_is_another_program": "tests/cargo has variables",
        "test_a_members_directory_means_its_workspace": "tests/cargo/test_clone.py builds members",
        "test_without_a_terminal_there_are_lines_without_control_characters": "tests/unit has the display",
        "test_smoke_verify_and_checks_as_json": "test_checks.py has the same as text",
        "test_on_a_terminal_every_platform_has_a_line_that_stays_in_its_place": "tests/unit has the display",
        "test_a_command_that_is_killed_in_any_phase_leaves_nothing_behind": "one of the phases is quick too",
        "test_compiled_state_comes_and_goes_by_a_registry": "test_archive.py has the registry's part",
        "test_ignored_files_are_uploaded_with_the_option": "tests/unit/cli has the choice of files",
    },
    "test_bases.py": {
        "test_the_command_line_and_the_module_give_one_digest": "two builds; test_cli.py has the settings",
        "test_a_custom_container_is_packed_again": "test_composition.py hands in a container",
        "test_a_changed_container_keeps_the_bases_layers": "test_composition.py changes a container",
        "test_layers_that_the_engine_does_not_export_unchanged_are_read_in_the_registry": (
            "tests/unit/oci has the layouts"
        ),
    },
    "test_composition.py": {
        "test_as_a_toolchain": "loads one more module",
        "test_a_runtime_of_ones_own_for_each_platform": "a changed variant is tested",
        "test_a_builder_of_ones_own": "test_checks.py has a custom builder",
        "test_a_builder_that_cannot_build": "tests/unit/build has the check",
        "test_a_variant_of_another_platform_is_refused": "tests/unit/oci has the check",
        "test_what_is_handed_back_is_checked_again": "test_verify.py has the check of programs",
    },
    "test_docs.py": {
        "*": "compiles cosign for a key of it; the other tests have the commands of the README",
    },
    "test_engine.py": {
        "*": "starts a second engine; every other test uses the first",
    },
    "test_loading.py": {
        "test_a_changed_module_is_loaded_anew": "another test loads a module once",
        "test_what_a_module_sees[pip]": "uv is what official engines use",
    },
    "test_dagger_call.py": {
        "test_exit_codes_reach_the_shell[keyless]": "the platform's does; tests/unit has the errors",
        "test_the_checks_of_the_project": "test_checks.py has the checks",
        "test_the_image_as_files": "test_cli.py writes archives and layouts",
        "test_a_compile_error_is_shown_whole": "test_cli.py has compile errors",
        "test_exit_codes_reach_the_shell[bin]": "the platform's reaches the shell; tests/unit has the errors",
        "test_exit_codes_reach_the_shell[address]": "the platform's does; tests/unit has the errors",
        "test_what_is_not_published_through_a_service": "test_publish.py has these refusals",
        "test_two_builds_are_the_same": "test_caching.py calls reproduce, with and without a clock",
        "test_build_logs_its_summary": "the report as data is tested",
        "test_callers_from_elsewhere_do_not_build_our_sample": "test_caller.py has callers from elsewhere",
    },
    "test_merge.py": {
        "*": "compiles crane; test_dagger_call.py merges too",
    },
    "test_merge_attachments.py": {
        "test_the_digest_is_that_of_one_machine": "four builds; the other tests need no engine",
    },
    "test_monorepo.py": {
        "*": "uploads a large repository; tests/unit/cli has the choice of files",
    },
    "test_musl.py": {
        "test_cplusplus_is_linked_in": "builds zig's C++ library; test_natives.py builds C++ with gcc",
    },
    "test_natives.py": {
        "test_what_was_added_to_the_image_is_on_record": "tests/unit/attestation has the documents",
        "test_a_systems_library_and_a_c_header_on_a_foreign_platform[bindgen]": "downloads libclang, 100 MB",
        "test_one_build_for_two_platforms_with_a_package_that_is_not_multi_arch": "one of make zoo's kind",
        "test_an_unknown_crates_library_is_suggested_and_the_suggestion_works": "tests/unit/native has it",
    },
    "test_options.py": {
        "test_a_runtime_base_with_layers_in_zstd": "tests/unit/oci has such layers",
        "test_an_image_for_each_binary_there_is": "an image for each of some binaries is tested",
        "test_a_configuration_for_the_authors_machine_does_not_get_in_the_way": "tests/unit has the rows",
        "test_users_of_files_and_of_other_bases": "builds five images; a name and numbers are tested",
    },
    "test_other_bases.py": {
        "*": "makes six other bases; test_verify.py has the check of programs",
    },
    "test_poisoned.py": {
        "*": "attacks on volumes, two builds each; tests/hostile has the attacks without an engine",
    },
    "test_referrers.py": {
        "*": "compiles oras and two registries; test_secrets.py attaches and signs",
    },
    "test_resolve.py": {
        "test_files_and_addresses_and_output": "a manifest of three services is tested",
        "test_local_images_are_loaded_and_named_by_digest": "installs podman, as --load needs it",
        "test_references_to_two_workspaces": "two builds; tests/unit/cli has --partial",
        "test_a_failed_push_writes_nothing": "a build; test_publish.py has failed pushes",
    },
    "test_sample_app.py": {
        "*": "compiles 149 crates; test_image.py shows the same on a service without any",
    },
    "test_setup.py": {
        "*": "a minute each; .ci/run sets up with the pip that comes with Python",
    },
    "test_skeleton.py": {
        "test_after_a_change_of_code_cargo_is_not_asked_again_what_it_builds": "tests/unit has the skeleton",
        "test_targets_through_symbolic_links_are_there": "test_cases.py has the report",
        "test_a_member_behind_a_symbolic_link_is_found_all_the_same": "test_cases.py has links too",
        "test_a_module_called_target_is_source_and_what_cargo_wrote_is_not": "tests/unit/cli has the files",
    },
    "test_secrets.py": {
        "test_no_secret_is_anywhere": "four commands; test_options.py has build secrets",
    },
    "test_bindings.py": {
        "test_the_module_type_checks_against_its_own_bindings": "tests/unit/test_bindings.py has the names",
    },
    "test_keyless.py": {
        "test_nothing_is_pushed_that_cannot_be_signed[faults1-variables1-SigstoreUnreachable-fails: 503]": (
            "waits between its attempts; the refusals stay"
        ),
    },
    "test_run.py": {
        "test_a_program_that_fails_ends_the_command[raw]": "the same with progress in lines stays",
        "test_a_program_without_ports_runs_to_its_end_each_time[7]": "the same with exit code 0 stays",
        "test_a_port_in_use_is_named": "starts a second program beside the first",
    },
}
"""The reasons by file and test, or `*` for a whole file."""


def left_out(nodeid: str) -> bool:
    """Return True if `make test` leaves a test out, by its identifier in pytest."""
    path, _, test = nodeid.partition("::")
    names = LATER.get(path.rpartition("/")[2], {})
    return bool(names.keys() & {"*", test, test.partition("[")[0]})

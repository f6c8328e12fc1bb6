//! The checked-in schema is the one that the types give.

#[test]
fn the_schema_file_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/events.schema.json");
    let checked_in = std::fs::read_to_string(path).unwrap();
    let made = format!("{:#}\n", hm_plugin_protocol::event_schema());
    assert!(
        made == checked_in,
        "docs/reference/events.schema.json differs from the types; write it again with\n\
         cargo run -p hm-plugin-protocol --example event_schema > docs/reference/events.schema.json"
    );
}

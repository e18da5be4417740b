//! tmp
#[test]
fn p() {
    println!("{}", nexusbase_server::openapi_json());
}
#[test]
#[ignore]
fn serve() {
    nexusbase_server::run_blocking(
        nexusbase_server::ServerConfig {
            listen: "127.0.0.1:7791".parse().unwrap(),
            ..Default::default()
        },
        nexusbase_db::Database::in_memory().unwrap(),
        |a| println!("{a}"),
    )
    .unwrap();
}

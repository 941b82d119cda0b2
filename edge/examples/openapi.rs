//! Prints the API's OpenAPI document; `cargo xtask openapi` keeps it in edge/assets/.

fn main() -> Result<(), serde_json::Error> {
    println!("{}", serde_json::to_string_pretty(&drawbridge_edge::openapi::document())?);
    Ok(())
}

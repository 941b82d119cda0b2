//! The document says what there is: no operation of it is missing, no route is left out, and the file is current.

use crate::world::World;
use drawbridge_edge::openapi::document;
use serde_json::Value;

const FILE: &str = include_str!("../../assets/api/openapi.json");
const ROUTES: &str = include_str!("../../src/api.rs");

fn operations() -> Vec<(String, String, Value)> {
    let document = document();
    let paths = document["paths"].as_object().unwrap().clone();
    let each = |(path, methods): (String, Value)| {
        let methods = methods.as_object().unwrap().clone();
        methods.into_iter().map(move |(method, operation)| (method, path.clone(), operation))
    };
    paths.into_iter().flat_map(each).collect()
}

#[test]
fn the_file_is_what_the_code_says() {
    let file: Value = serde_json::from_str(FILE).unwrap();
    assert_eq!(file, document(), "run `cargo xtask openapi` and commit edge/assets/api/openapi.json");
}

#[tokio::test]
async fn it_is_served() {
    let world = World::new();
    let answer = world.get("/api/openapi.json", "").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    assert_eq!(answer.json::<Value>()["openapi"], "3.1.0");
    assert_eq!(world.call("POST", "/api/openapi.json", "", None).await.status, 405);
}

#[tokio::test]
async fn every_operation_of_it_is_there() {
    let world = World::new();
    for (method, path, operation) in operations() {
        let mut address = path.clone();
        for parameter in operation["parameters"].as_array().into_iter().flatten().filter(|it| it["in"] == "path") {
            let (name, example) = (parameter["name"].as_str().unwrap(), parameter["example"].as_str().unwrap());
            address = address.replace(&format!("{{{name}}}"), example);
        }
        let answer = world.call(&method.to_uppercase(), &address, "", None).await;
        let expected = if operation["tags"][0] == "open" { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{method} {path}");
    }
}

#[test]
fn every_route_is_in_it() {
    let document = document();
    let paths: Vec<_> = document["paths"].as_object().unwrap().keys().cloned().collect();
    for route in ROUTES.split(".route(").skip(1).filter_map(|text| text.trim_start().strip_prefix('"')?.split('"').next()) {
        let route = route.replace("{*", "{");
        let known = paths.iter().any(|path| *path == route || *path == format!("/api/operator{route}"));
        assert!(known, "{route} is not in the document");
    }
}

#[test]
fn every_body_and_answer_has_an_example_of_its_schema() {
    for (method, path, operation) in operations() {
        let contents = operation["responses"].as_object().unwrap().values().chain([&operation["requestBody"]]);
        for content in contents.filter_map(|it| it["content"].as_object()).flat_map(|content| content.values()) {
            assert!(content["example"] != Value::Null && content["schema"].is_object(), "{method} {path}: {content}");
        }
    }
}

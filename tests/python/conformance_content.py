"""Gives what the official conformance suite asks a server for by name: contents, schemas, questions to the client.

Never does anything: conformance_server.py serves it. All of it is in wire form.
"""

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA="


def text(value):
    return {"type": "text", "text": value}


def image():
    return {"type": "image", "data": PNG, "mimeType": "image/png"}


def embedded(uri, mime_type, value):
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, "text": value}}


def message(content):
    return {"role": "user", "content": content}


# Tools that give the same content at every call.
FIXED_TOOLS = {
    "test_simple_text": [text("This is a simple text response for testing.")],
    "test_image_content": [image()],
    "test_audio_content": [{"type": "audio", "data": WAV, "mimeType": "audio/wav"}],
    "test_embedded_resource": [
        embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")
    ],
    "test_multiple_content_types": [
        text("Multiple content types test:"),
        image(),
        embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ],
    "json_schema_2020_12_tool": [text("ok")],
    "test_custom_header": [text("ok")],
    "greet": [text("Hello!")],
}

NO_ARGUMENTS = {"type": "object", "properties": {}}


def arguments(*names):
    return {"type": "object", "properties": {name: {"type": "string"} for name in names}, "required": list(names)}


# Schemas of the tools that take arguments; all others take none.
INPUT_SCHEMAS = {
    "test_sampling": arguments("prompt"),
    "test_elicitation": arguments("message"),
    "test_custom_header": {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}},
        "required": ["region"],
    },
    "json_schema_2020_12_tool": {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    },
}


def form(required, **properties):
    return {"type": "object", "properties": properties, "required": required}


USER_FORM = form(
    ["username", "email"],
    username={"type": "string", "description": "User's response"},
    email={"type": "string", "description": "User's email address"},
)

DEFAULTS_FORM = form(
    [],
    name={"type": "string", "description": "User name", "default": "John Doe"},
    age={"type": "integer", "description": "User age", "default": 30},
    score={"type": "number", "description": "User score", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "description": "Verification status", "default": True},
)


def titled(*titles):
    return [{"const": f"value{number}", "title": title} for number, title in enumerate(titles, 1)]


ENUMS_FORM = form(
    [],
    untitledSingle={"type": "string", "enum": ["option1", "option2", "option3"]},
    titledSingle={"type": "string", "oneOf": titled("First Option", "Second Option", "Third Option")},
    legacyEnum={
        "type": "string",
        "enum": ["opt1", "opt2", "opt3"],
        "enumNames": ["Option One", "Option Two", "Option Three"],
    },
    untitledMulti={"type": "array", "items": {"type": "string", "enum": ["option1", "option2", "option3"]}},
    titledMulti={"type": "array", "items": {"anyOf": titled("First Choice", "Second Choice", "Third Choice")}},
)


def ask(question, **properties):
    params = {"mode": "form", "message": question, "requestedSchema": form(list(properties), **properties)}
    return {"method": "elicitation/create", "params": params}


def sample(question, tokens):
    return {"method": "sampling/createMessage", "params": {"messages": [message(text(question))], "maxTokens": tokens}}


STRING = {"type": "string"}
NAME = {"user_name": ask("What is your name?", name=STRING)}
ROOTS = {"client_roots": {"method": "roots/list", "params": {}}}
CONFIRM = {"confirm": ask("Please confirm", ok={"type": "boolean"})}

# What a call of these asks the client for, round by round, and whether state travels with the question.
ROUNDS = {
    "test_input_required_result_elicitation": ([NAME], False),
    "test_input_required_result_sampling": ([{"capital_question": sample("What is the capital of France?", 100)}], False),
    "test_input_required_result_list_roots": ([ROOTS], False),
    "test_input_required_result_request_state": ([CONFIRM], True),
    "test_input_required_result_tampered_state": ([CONFIRM], True),
    "test_input_required_result_multiple_inputs": (
        [NAME | {"greeting": sample("Generate a greeting", 50)} | ROOTS],
        True,
    ),
    "test_input_required_result_multi_round": (
        [
            {"step1": ask("Step 1: What is your name?", name=STRING)},
            {"step2": ask("Step 2: What is your favorite color?", color=STRING)},
        ],
        True,
    ),
    "test_streaming_elicitation": ([NAME], False),
    "test_input_required_result_prompt": (
        [{"user_context": ask("What context should the prompt use?", context=STRING)}],
        False,
    ),
}

PROMPTS = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}


def prompt_messages(name, given):
    if name == "test_simple_prompt":
        return [message(text("This is a simple prompt for testing."))]
    if name == "test_prompt_with_arguments":
        return [message(text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'"))]
    if name == "test_prompt_with_embedded_resource":
        resource = embedded(given["resourceUri"], "text/plain", "Embedded resource content for testing.")
        return [message(resource), message(text("Please process the embedded resource above."))]
    if name == "test_prompt_with_image":
        return [message(image()), message(text("Please analyze the image above."))]
    return [message(text("Prompt with the context that was asked for."))]


RESOURCES = {
    "test://static-text": {"mimeType": "text/plain", "text": "This is the content of the static text resource."},
    "test://static-binary": {"mimeType": "image/png", "blob": PNG},
    "test://watched-resource": {"mimeType": "text/plain", "text": "A resource that may change."},
}
TEMPLATE = "test://template/{id}/data"


def resource_content(uri):
    """The content of one resource, or None."""
    before, after = TEMPLATE.split("{id}")
    if uri.startswith(before) and uri.endswith(after):
        number = uri[len(before) : -len(after)]
        value = f'{{"id":"{number}","templateTest":true,"data":"Data for ID: {number}"}}'
        return {"uri": uri, "mimeType": "application/json", "text": value}
    found = RESOURCES.get(uri)
    return found and {"uri": uri, **found}

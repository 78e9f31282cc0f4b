/* Python's objects: their slots by name, and how they are read and written. */
#include "relay.h"

#include <structmember.h>

#define DEFINE_CLASS(name) PyTypeObject *name##_class;
CLASSES(DEFINE_CLASS)
#define DEFINE_SLOT(class, name) Py_ssize_t class##_##name;
SLOTS(DEFINE_SLOT)
PyObject *plain_pull;

long long long_integer(PyObject *value)
{
    if (!value || !PyLong_CheckExact(value))
        return NONE;
    long long result = PyLong_AsLongLong(value);
    if (result == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        return NONE;
    }
    return result;
}

void translate(PyObject *table, uint8_t *octets, Py_ssize_t count)
{
    if (table == Py_None)
        return;
    const uint8_t *code = (const uint8_t *)PyBytes_AS_STRING(table);
    for (Py_ssize_t i = 0; i < count; i++)
        octets[i] = code[octets[i]];
}

static bool find_slot(PyTypeObject *class, const char *name, Py_ssize_t *offset)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)class, name);
    bool is_slot = found && Py_IS_TYPE(found, &PyMemberDescr_Type);
    if (is_slot)
        *offset = ((PyMemberDescrObject *)found)->d_member->offset;
    else if (!PyErr_Occurred())
        PyErr_Format(PyExc_TypeError, "%s has no slot %s", class->tp_name, name);
    Py_XDECREF(found);
    return is_slot;
}

const char configure_doc[] =
"configure(**classes)\n\nTell the classes of the hot path, each by its name.";

PyObject *configure(PyObject *self, PyObject *none, PyObject *classes)
{
    PyObject *class;
#define FIND_CLASS(name)                                                          \
    class = classes ? PyDict_GetItemString(classes, #name) : NULL;                \
    if (!class || !PyType_Check(class))                                           \
        return PyErr_Format(PyExc_TypeError, "the class " #name " is missing");   \
    Py_INCREF(class);                                                             \
    name##_class = (PyTypeObject *)class;
    CLASSES(FIND_CLASS)
#define FIND_SLOT(class, name)                                    \
    if (!find_slot(class##_class, #name, &class##_##name))        \
        return NULL;
    SLOTS(FIND_SLOT)
    plain_pull = PyObject_GetAttrString((PyObject *)ReorderBuffer_class, "pull");
    if (!plain_pull)
        return NULL;
    Py_RETURN_NONE;
}

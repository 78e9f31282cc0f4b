/* The module itself. */
#include "relay.h"

static PyMethodDef methods[] = {
    {"configure", (PyCFunction)(void (*)(void))configure, METH_VARARGS | METH_KEYWORDS,
     configure_doc},
    {"read_phones", read_phones, METH_VARARGS, read_phones_doc},
    {"seal_slot", seal_slot, METH_VARARGS, seal_slot_doc},
    {NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "siax_relay",
    .m_doc = "The hot path of the relay, compiled; see bridge/media/relay.py.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit_siax_relay(void)
{
    if (PyType_Ready(&LinkType) < 0 || PyType_Ready(&ContextType) < 0
        || PyType_Ready(&PhoneType) < 0)
        return NULL;
    PyObject *made = PyModule_Create(&module);
    if (made && PyModule_AddObjectRef(made, "Link", (PyObject *)&LinkType) < 0)
        Py_CLEAR(made);
    return made;
}
